"""Expressions that hyperscan looks for together, in one pass whose time grows with the text alone. Says where matches end, no more."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import hyperscan


class Expressions:
    """One database for all threads: by number, bytes without look-around. Equal ones are looked for once."""

    def __init__(self, numbered: Mapping[int, bytes]) -> None:
        numbers: dict[bytes, list[int]] = {}
        for number, expression in numbered.items():
            numbers.setdefault(expression, []).append(number)
        self._alike = {first: others for first, *others in numbers.values() if others}
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=list(numbers),
            ids=[first for first, *_ in numbers.values()],
            elements=len(numbers),
            flags=[0] * len(numbers),
        )
        self._scratch = hyperscan.Scratch(self._database)
        # Scratch space serves one scan at a time, and a scan releases the interpreter's lock.
        self._own = threading.local()

    def find(self, text: bytes, ends: dict[int, list[int]]) -> None:
        """Add where in `text` each expression's matches end, in order, to what `ends` has for its number."""
        try:
            scratch = self._own.scratch
        except AttributeError:
            scratch = self._own.scratch = self._scratch.clone()
        self._database.scan(text, match_event_handler=_note, context=ends, scratch=scratch)
        for first, others in self._alike.items():
            if first in ends:
                ends.update(dict.fromkeys(others, ends[first]))


def _note(number: int, _start: int, end: int, _flags: int, ends: Any) -> None:
    if (known := ends.get(number)) is None:
        ends[number] = [end]
    else:
        known.append(end)
