"""A text without its asides: runs of words, in the middle of a sentence too, that are about something else or speak of marking.

It judges no sentence and knows no task; an answer earns what it earns with its asides or without them, whichever is less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from forge_evaluator.scorers.addressed import addresses
from forge_evaluator.scorers.vocabulary import FUNCTION_WORDS, WORD

# No aside reaches over the end of a sentence, an item, a heading or a paragraph.
_STOP = re.compile(r"[.!?…。！？][\"'”’)\]*_]{0,8}\s+(?=$|[^a-z])|\n\s*\n|\n\s*(?=[-*+•>#|\d(])")
_CLAUSE = re.compile(r"[,;:()\[\]{}<>|—–\n]|\s-\s")
_OPENING, _CLOSING = " ,:;([{<|\"'", re.compile(r"[ ,:;)\]}>|\"']*")
# Where nothing is left before them. Not those that a heading, an item or bold words begin with.
_SIGNS = re.compile(r"[^\w\n#*+-]*")
# Words that the task does not have, less its own among them, and their share of the run. Right answers in other words have
# such runs, too, with `of`, `the` and `is` between them; a few words of marking are no part of any.
_ENOUGH, _OF_MARKING_ENOUGH = 5.0, 2.0
_DENSE, _OF_MARKING_DENSE = 0.6, 0.3
# A run ends where two of the task's own words follow each other.
_FALL = 1.5
_OWN_AT_THE_EDGE = 2


class About(Protocol):
    """What a task is about; `topic.Topic` is one. Words are in small letters, `before` is the one before."""

    def weight(self, word: str, before: str) -> float:
        """1 for what the task does not have, -1 for what it is about, 0 to 0.5 for what may stand in any text."""

    def is_of_marking(self, word: str, before: str) -> bool:
        """A word of those who mark answers, where the task does not have it."""


@dataclass(frozen=True, slots=True)
class _Word:
    """`opens`: a clause ends right before it."""

    start: int
    end: int
    weight: float
    is_of_marking: bool
    opens: bool


def without_asides(text: str, about: About) -> str:
    """The same text where it has none."""
    spans = [span for unit in _units(text, about) for span in _asides(unit)]
    return _without(text, spans) if spans else text


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    kept, last, starts_a_line = list[str](), 0, True
    for start, end in spans:
        kept.append(text[last:start].rstrip(_OPENING))
        starts_a_line = kept[-1].endswith("\n") or (starts_a_line and not kept[-1])
        closing = (_SIGNS if starts_a_line else _CLOSING).match(text, end)
        last = closing.end() if closing else end
    cut = " ".join([*kept, text[last:]])
    # The marks of items, headings and rows of which no word is left would be headings and rows still.
    known = set(text.split("\n"))
    return "\n".join(line for line in cut.split("\n") if line in known or WORD.search(line))


def _units(text: str, about: About) -> Iterator[list[_Word]]:
    """The words of one sentence, item or heading after another."""
    unit = list[_Word]()
    spoken = _Spans((found.start(), found.end()) for found in addresses(text))
    last, before = 0, ""
    for found in WORD.finditer(text):
        start, end = found.span()
        if unit and _STOP.search(text[last : start + 1]):
            yield unit
            unit = []
        word = found.group().casefold().removesuffix("'s")
        opens = bool(_CLAUSE.search(text[last:start]))
        if spoken.holds(start):
            unit.append(
                _Word(
                    start,
                    end,
                    0.5 if word in FUNCTION_WORDS else _OF_MARKING_ENOUGH,
                    is_of_marking=True,
                    opens=opens,
                )
            )
        else:
            unit.append(
                _Word(start, end, about.weight(word, before), about.is_of_marking(word, before), opens)
            )
        last, before = end, word
    if unit:
        yield unit


class _Spans:
    """Spans in order, asked about places in order."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._spans = iter(spans)
        self._start, self._end = next(self._spans, (0, 0))

    def holds(self, place: int) -> bool:
        while self._end and self._end <= place:
            self._start, self._end = next(self._spans, (0, 0))
        return self._start <= place < self._end


def _asides(unit: Sequence[_Word]) -> Iterator[tuple[int, int]]:
    """Where they start and end in the text, in order, none within another."""
    reached = 0
    for first, last in _runs(unit):
        run = unit[first : last + 1]
        total, marking = sum(word.weight for word in run), sum(word.is_of_marking for word in run)
        if marking and total >= max(_OF_MARKING_ENOUGH, _OF_MARKING_DENSE * len(run)):
            first, last = _to_the_clause(unit, first, last, _OWN_AT_THE_EDGE if marking > 1 else 0)  # noqa: PLW2901
        elif total < max(_ENOUGH, _DENSE * len(run)):
            continue
        if unit[last].end > reached:
            yield max(unit[first].start, reached), unit[last].end
            reached = unit[last].end


def _runs(unit: Sequence[_Word]) -> Iterator[tuple[int, int]]:
    """First and last word of every run in which what the task does not have prevails."""
    first, last, total, peak = -1, -1, 0.0, 0.0
    for place, word in enumerate(unit):
        if first < 0 and word.weight > 0:
            first, total, peak = place, 0.0, 0.0
        if first < 0:
            continue
        total += word.weight
        if word.weight > 0 and total >= peak:
            last, peak = place, total
        elif total < 0 or total < peak - _FALL:
            yield first, last
            first = -1
    if first >= 0:
        yield first, last


def _to_the_clause(unit: Sequence[_Word], first: int, last: int, own: int) -> tuple[int, int]:
    """Over words of no weight, and over `own` words of the task where a clause ends behind them."""
    while first and unit[first - 1].weight >= 0 and not unit[first].opens:
        first -= 1
    while last + 1 < len(unit) and unit[last + 1].weight >= 0 and not unit[last + 1].opens:
        last += 1
    return first - _to_the_edge(unit[first::-1], own, is_behind=False), last + _to_the_edge(
        unit[last:], own, is_behind=True
    )


def _to_the_edge(ahead: Sequence[_Word], own: int, *, is_behind: bool) -> int:
    """How many words more until the clause ends, if it does within `own` words of the task."""
    for count, word in enumerate(ahead):
        if count and is_behind and word.opens:
            return count - 1
        own -= bool(count) and word.weight < 0
        if own < 0:
            return 0
        if not is_behind and word.opens:
            return count
    return len(ahead) - 1
