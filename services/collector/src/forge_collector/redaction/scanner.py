"""Finds what the rules describe. One pass of hyperscan over all triggers, whose time grows with the text alone, says where
something may be; only there the rules' own patterns look. Nothing found is logged or kept here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from forge_collector.redaction import (
    columns,
    credentials,
    handed_over,
    identity,
    labelled,
    numbers,
    people,
    personal,
    provider_keys,
)
from forge_collector.redaction.columns import Columns
from forge_collector.redaction.escapes import SIGNS, unescaped
from forge_collector.redaction.labelled import Labelled
from forge_collector.redaction.labels import NAMES
from forge_collector.redaction.matching import Expressions
from forge_collector.redaction.numbers import Numbered
from forge_collector.redaction.rule import Rule
from forge_common.contracts.domain import RedactionClass

Finder = Rule | Columns | Labelled | Numbered
# Earlier rules name what later ones find in the same place.
RULES: tuple[Finder, ...] = (
    *provider_keys.RULES,
    *credentials.RULES,
    *labelled.RULES,
    *handed_over.RULES,
    *identity.RULES,
    *personal.RULES,
    *people.RULES,
    *numbers.RULES,
    *columns.RULES,
)


class Span(NamedTuple):
    """`is_labelled`: only the surroundings told what it is."""

    start: int
    end: int
    kind: str
    is_labelled: bool = False


class Scanner:
    """Rules, looked for together. One for all threads.

    The triggers for names and addresses are many and common, and most domains do not want them: they have a pass of their own.
    """

    def __init__(self, rules: tuple[Finder, ...]) -> None:
        self._rules = rules
        self._people = _triggers("people", rules, lambda group: group is RedactionClass.PERSON)
        self._others = _triggers("secrets", rules, lambda group: group is not RedactionClass.PERSON)

    def made(self) -> Scanner:
        """Itself, when it has nothing more to compile."""
        for expressions in (self._people, self._others, SIGNS, NAMES):
            expressions.made()
        return self

    def spans(self, text: bytes, classes: frozenset[RedactionClass]) -> list[Span]:
        """What must go of `classes`, in order, without overlaps. Of what overlaps the whole goes, named by the earliest rule."""
        found = self._found(text, classes)
        if (meant := unescaped(text)) is not None:
            found += [
                span._replace(start=start, end=end)
                for span in self._found(meant.text, classes)
                for start, end in (meant.original(span.start, span.end),)
            ]
        return merged(found)

    def _found(self, text: bytes, classes: frozenset[RedactionClass]) -> list[Span]:
        ends: dict[int, list[int]] = {}
        self._others.find(text, ends)
        if RedactionClass.PERSON in classes:
            self._people.find(text, ends)
        found: list[Span] = []
        for index in sorted(ends):
            rule = self._rules[index]
            if rule.group in classes:
                found += [
                    Span(start, end, rule.kind, rule.is_labelled)
                    for start, end in _spans(rule, text, sorted(ends[index]), found)
                ]
        return found


def _triggers(
    name: str, rules: tuple[Finder, ...], is_wanted: Callable[[RedactionClass], bool]
) -> Expressions:
    return Expressions(name, {i: rule.trigger for i, rule in enumerate(rules) if is_wanted(rule.group)})


def _spans(rule: Finder, text: bytes, ends: list[int], found: list[Span]) -> Iterator[tuple[int, int]]:
    """What `rule` finds near `ends`. `found`: what earlier rules did, which a label need not judge again."""
    if isinstance(rule, Labelled):
        yield from rule.behind(text, ends, {span.start: span.end for span in found})
        return
    if isinstance(rule, Columns | Numbered):
        yield from rule.behind(text, ends)
        return
    for lo, hi in _windows(ends, rule, len(text)):
        yield from rule.spans(text, lo, hi)


def _windows(ends: Iterable[int], rule: Rule, size: int) -> Iterator[tuple[int, int]]:
    """Stretches around `ends`, joined where they meet, so that no byte is searched twice. `ends` are in order."""
    lo, hi = 0, -1
    for end in ends:
        if hi < 0 or end - rule.back > hi:
            if hi >= 0:
                yield lo, hi
            lo = max(end - rule.back, 0)
        hi = min(end + rule.ahead, size)
    if hi >= 0:
        yield lo, hi


def merged(found: Iterable[Span]) -> list[Span]:
    """In order and without overlaps. `found` is in the order of the rules, which sorting keeps for equal starts."""
    kept: list[Span] = []
    for span in sorted(found, key=lambda span: span.start):
        if kept and span.start < kept[-1].end:
            kept[-1] = kept[-1]._replace(end=max(kept[-1].end, span.end))
        else:
            kept.append(span)
    return kept


_making = threading.Lock()


def scanner() -> Scanner:
    """The one with all rules, made when it is first asked for."""
    with _making:
        return _made()


@lru_cache(maxsize=1)
def _made() -> Scanner:
    return Scanner(RULES).made()
