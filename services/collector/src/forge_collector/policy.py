"""May this teacher's answers be trained on? Rules in order, the first that fits decides. Pure.

Decided when data are read and never stored with an exchange, so that another decision needs no new capture.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files

from pydantic import TypeAdapter

from forge_collector.patterns import Pattern, Teacher, TeacherKind
from forge_common.contracts.base import Contract


class Source(StrEnum):
    YOURS = "yours"
    SHIPPED = "shipped"


class Rule(Contract):
    """Fits when any of its patterns does. `kind` is what a shipped rule knows of the teachers that it fits."""

    name: str
    patterns: tuple[str, ...]
    eligible: bool
    reason: str
    source: Source = Source.SHIPPED
    kind: TeacherKind | None = None

    @classmethod
    def yours(cls, pattern: str, *, eligible: bool, reason: str) -> Rule:
        """Raises PatternUnreadable."""
        plain = str(Pattern.parse(pattern))
        return cls(name=plain, patterns=(plain,), eligible=eligible, reason=reason, source=Source.YOURS)


class Policy:
    """A person's rules, newest first, then the shipped ones, whose last fits everything."""

    def __init__(self, yours: Sequence[Rule] = ()) -> None:
        self.rules = (*yours, *shipped())
        self._compiled = [(rule, [Pattern.parse(text) for text in rule.patterns]) for rule in self.rules]
        self._decided: dict[Teacher, Rule] = {}

    def rule(self, teacher: Teacher) -> Rule:
        """The rule that decides."""
        decided = self._decided.get(teacher)
        if decided is None:
            kind = self._first(teacher, None, Source.SHIPPED).kind
            decided = self._decided[teacher] = self._first(teacher, kind, None)
        return decided

    def kind(self, teacher: Teacher) -> TeacherKind:
        return self._first(teacher, None, Source.SHIPPED).kind or TeacherKind.UNKNOWN

    def _first(self, teacher: Teacher, kind: TeacherKind | None, source: Source | None) -> Rule:
        for rule, patterns in self._compiled:
            if source in (None, rule.source) and any(pattern.matches(teacher, kind) for pattern in patterns):
                return rule
        raise AssertionError("the last shipped rule fits everything")


@lru_cache(maxsize=1)
def shipped() -> tuple[Rule, ...]:
    """The rules that came with this release."""
    document = files("forge_collector").joinpath("shipped_policy.json").read_bytes()
    return TypeAdapter(tuple[Rule, ...]).validate_json(document)
