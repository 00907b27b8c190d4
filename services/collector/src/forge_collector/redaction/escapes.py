"""Text in which JSON, URLs or HTML wrote characters as escapes, seen as it is meant, with the way back to where each came from."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from forge_collector.redaction.matching import Expressions

_ESCAPE = re.compile(
    rb"\\{1,8}(?:(?P<code>u[0-9a-fA-F]{4}(?:\\{1,8}u[dD][c-fC-F][0-9a-fA-F]{2})?)|(?P<sign>[nrt\"'/]))|%(?P<hex>[2-7][0-9A-Fa-f])|&(?P<entity>quot|apos|amp|lt|gt|#\d{2,4});"
)
_PLAIN = {
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"quot": b'"',
    b"apos": b"'",
    b"amp": b"&",
    b"lt": b"<",
    b"gt": b">",
}
# An escaped quote, a letter's code, a break with more behind it, an at sign in a URL: something wrote text into text.
_SIGN = rb"\\(?:\"|u[0-9a-fA-F]{4}|n[^\s\"'`)\\])|%(?:40|3[AD]|2[0BF])|&(?:quot|#64|amp);"
SIGNS = Expressions("signs-of-escapes", {0: _SIGN})
# Between two lines, as between the strings of a value.
_BETWEEN = b"\n\x00\n"


class Unescaped:
    """The lines of `source` that hold `signs` of escapes, as they were meant. `original` says which stretch of the source one of it is."""

    __slots__ = ("_from", "_parts", "_size", "_starts", "text")

    def __init__(self, source: bytes, signs: list[int]) -> None:
        self._parts: list[bytes] = []
        # Where each part begins, here and in the source; escapes are parts of their own.
        self._starts: list[int] = []
        self._from: list[tuple[int, int]] = []
        self._size = 0
        for start, end in _lines(source, signs):
            self._line(source, start, end)
        self.text = b"".join(self._parts)

    def original(self, start: int, end: int) -> tuple[int, int]:
        return self._at(start)[0], self._at(end - 1)[1]

    def _line(self, source: bytes, start: int, end: int) -> None:
        for found in _ESCAPE.finditer(source, start, end):
            self._add(source[start : found.start()], start, found.start())
            self._add(_meant(found), *found.span())
            start = found.end()
        self._add(source[start:end], start, end)
        self._add(_BETWEEN, end, end)

    def _add(self, part: bytes, start: int, end: int) -> None:
        self._parts.append(part)
        self._starts.append(self._size)
        self._from.append((start, end))
        self._size += len(part)

    def _at(self, at: int) -> tuple[int, int]:
        """The stretch of the source that one byte comes from: of an escape all of it."""
        part = bisect_right(self._starts, at) - 1
        start, end = self._from[part]
        if end - start != len(self._parts[part]):
            return start, end
        return start + at - self._starts[part], start + at - self._starts[part] + 1


def unescaped(text: bytes) -> Unescaped | None:
    """None where nothing in `text` is an escape that matters: most texts have backslashes and few have these."""
    if b"\\" not in text and b"%" not in text and b"&" not in text:
        return None
    found: dict[int, list[int]] = {}
    SIGNS.find(text, found)
    return Unescaped(text, found[0]) if found else None


def _lines(text: bytes, signs: list[int]) -> Iterator[tuple[int, int]]:
    """Those in which one of `signs` ends."""
    past = 0
    for end in signs:
        if end <= past:
            continue
        start = text.rfind(b"\n", past, end) + 1 or past
        past = text.find(b"\n", end)
        past = past if past >= 0 else len(text)
        yield start, past


def _meant(found: re.Match[bytes]) -> bytes:
    if code := found["code"]:
        units = bytes.fromhex("".join(re.findall(r"u([0-9a-fA-F]{4})", code.decode())))
        return units.decode("utf-16-be", "replace").encode()
    if sign := found["sign"]:
        return _PLAIN.get(sign, sign)
    if digits := found["hex"]:
        return bytes.fromhex(digits.decode())
    entity = found["entity"]
    return _PLAIN[entity] if entity in _PLAIN else chr(int(entity[1:]) % 0xD800).encode()
