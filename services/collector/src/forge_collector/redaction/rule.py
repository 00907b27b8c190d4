"""One kind of thing that must not be written, and how it is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forge_common.contracts.domain import RedactionClass

Check = Callable[[re.Match[bytes]], bool]

# What may stand before a token: nothing that would make it part of a longer one. In JSON that was not parsed, a line
# break or a tab before it is two characters, of which the last is a letter.
START = rb"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9A-F]{2}))"


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` is tried only around places where `trigger` ends, which all triggers together find in one linear pass.

    trigger: an expression of hyperscan, without look-around and with few ends for one place.
    back: how many bytes before a trigger's end a match begins at most.
    ahead: how many bytes behind it a match needs at most to be one; how long it is in the end does not matter.
    Group `value` is taken out where the pattern has one, else the whole match; `check` has the last word.
    A group is repeated atomically, `(?>(?:…)*)`, and not possessively: Python before 3.11.5 gets `(?:…)*+` wrong.
    is_labelled: only its surroundings tell what the value is, so it is looked for without them afterwards.
    """

    kind: str
    group: RedactionClass
    trigger: bytes
    pattern: re.Pattern[bytes]
    back: int = 80
    ahead: int = 24
    check: Check | None = None
    is_labelled: bool = False

    def spans(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What it finds of `text[start:end]`; a match that begins there may end later."""
        has_value = "value" in self.pattern.groupindex
        for found in self.pattern.finditer(text, start, end):
            # What was cut off by `end` is matched once more, whole.
            match = found if found.end() < end else self.pattern.match(text, found.start())
            if match is not None and (self.check is None or self.check(match)):
                yield match.span("value" if has_value else 0)
