"""How alike two programs are in shape: Dice over their syntax subtrees, blind to names.

Text similarity ranks a broken program above a renamed one; this does not. It never makes up for failing tests.
"""

from __future__ import annotations

from forge_evaluator.syntax import Program, parse


def similarity(code: str, gold: str, language: str = "python") -> float | None:
    """Share of 1; None when one of the two does not parse."""
    left, right = parse(code, language), parse(gold, language)
    return None if left is None or right is None else likeness(left, right)


def likeness(left: Program, right: Program, entry: str | None = None) -> float:
    """Of what `entry` reaches: dead code beside it makes nothing more alike."""
    ours, theirs = left.needed_by(entry).subtrees(), right.needed_by(entry).subtrees()
    both = ours.total() + theirs.total()
    return 2 * sum((ours & theirs).values()) / both if both else 1.0
