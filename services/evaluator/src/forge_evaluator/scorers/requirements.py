"""Completeness of code: which requirements it covers, by evidence in the program and not in its comments.

A requirement that is a few words of code (`return`, `def f(`, `OrderedDict`) is looked for among the program's tokens.
One that is a sentence cannot be found there; its evidence is the share of the cases that pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from forge_evaluator.syntax import Program

_TOKEN = re.compile(r"\w+|[^\w\s]")
_MAX_KEYWORDS = 3
_WORDS = re.compile(r"[^\W\d_]+")


def completeness(requirements: Sequence[str], program: Program, share: float) -> float:
    """Share of 1; `share` of the cases passed."""
    if not requirements:
        return share
    text = _Text(program)
    return sum(_covered(requirement, text, share) for requirement in requirements) / len(requirements)


def _covered(requirement: str, text: _Text, share: float) -> float:
    if text.holds(requirement):
        return 1.0
    return share if is_sentence(requirement) else 0.0


def is_sentence(requirement: str) -> bool:
    """More words than a piece of code has before its first sign."""
    words = _WORDS.findall(requirement)
    is_prose = not re.search(r"[(){}\[\]=;<>_.]", requirement.rstrip("."))
    return is_prose and len(words) > _MAX_KEYWORDS


class _Text:
    """The program's tokens, split as requirements are, to be searched for runs of them."""

    def __init__(self, program: Program) -> None:
        tokens = [part for token in program.tokens() for part in _TOKEN.findall(token.lower())]
        self._text = f"\0{chr(0).join(tokens)}\0"

    def holds(self, requirement: str) -> bool:
        tokens = _TOKEN.findall(requirement.lower())
        return bool(tokens) and f"\0{chr(0).join(tokens)}\0" in self._text
