"""Expressions that hyperscan looks for together, in one pass whose time grows with the text alone. Says where matches end, no more."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import hyperscan


class Expressions:
    """One database for all threads: by number, bytes without look-around."""

    def __init__(self, numbered: Mapping[int, bytes]) -> None:
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=list(numbered.values()),
            ids=list(numbered),
            elements=len(numbered),
            flags=[0] * len(numbered),
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


def _note(number: int, _start: int, end: int, _flags: int, ends: Any) -> None:
    if (known := ends.get(number)) is None:
        ends[number] = [end]
    else:
        known.append(end)
