"""Practice must not give a benchmark away: equal texts and near-duplicates, found field by field. Pure.

Near: five-grams of words, Jaccard above one half, in prompts (and in gold answers of some length). A short prompt counts
as its normalised text. This is stricter on whole fields than the collector's rule for captured traffic (eight-grams
that cover half), because practice tasks are written, and can be rewritten.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from forge_evaluator.benchmarks.task import Task

GRAM = 5
NEAR = 0.5
# Gold answers shorter than this are alike by nature: `SELECT … FROM …`, "B".
_MIN_GOLD_WORDS = 25
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """`field` of the practice task `practice` is too like that of the benchmark's `task`; 1.0 is equal."""

    practice: str
    task: str
    field: str
    likeness: float


def overlaps(practice: Iterable[Task], benchmark: Iterable[Task]) -> list[Overlap]:
    """Every pair that is equal or near, in the order of `practice`."""
    index = _Index(benchmark)
    return [overlap for task in practice for overlap in index.near(task)]


class _Index:
    def __init__(self, tasks: Iterable[Task]) -> None:
        self._holders: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._fields: dict[tuple[str, str], frozenset[str]] = {}
        for task in tasks:
            for name, grams in _fields(task):
                self._fields[name, task.id] = grams
                for gram in grams:
                    self._holders[name, gram].add(task.id)

    def near(self, task: Task) -> Iterator[Overlap]:
        for name, grams in _fields(task):
            met = {holder for gram in grams for holder in self._holders.get((name, gram), ())}
            for holder in sorted(met):
                likeness = _jaccard(grams, self._fields[name, holder])
                if likeness > NEAR:
                    yield Overlap(task.id, holder, name, likeness)


def _fields(task: Task) -> Iterator[tuple[str, frozenset[str]]]:
    yield "prompt", _grams(_words(task.prompt))
    gold = _words(task.gold_answer)
    if len(gold) >= _MIN_GOLD_WORDS:
        yield "gold_answer", _grams(gold)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def _grams(words: list[str]) -> frozenset[str]:
    if len(words) < GRAM:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)
