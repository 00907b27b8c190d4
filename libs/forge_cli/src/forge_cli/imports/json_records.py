"""JSON lines, arrays and objects cut into records by their brackets, without being parsed, in memory that does not grow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from forge_common.contracts.imports import MAX_RECORD_BYTES, Record

_TOO_LONG = f"longer than {MAX_RECORD_BYTES // 2**20} MB"
_NOT_UTF8 = "not UTF-8"
_CUT_OFF = "the file ends in the middle of a record"
_NOT_CLOSED = "the file ends before its array does: it was cut off"
_BRACKET = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'(?>(?:[^"\\]++|\\.)*)', re.DOTALL)
# What may stand between two records.
_BETWEEN = re.compile(rb"[\s,]*")
_OPENING, _LIST, _QUOTE = frozenset(b"{["), ord("["), ord('"')


def lines(pieces: Iterator[bytes]) -> Iterator[Record]:
    """A record a line, by the line's number. Empty lines are none."""
    number, parts, size = 1, list[bytes](), 0
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for line in whole:
            if record := _line(number, [*parts, line], size + len(line)):
                yield record
            number, size = number + 1, 0
            parts.clear()
        size += len(rest)
        if size > MAX_RECORD_BYTES:
            parts.clear()
        else:
            parts.append(rest)
    if record := _line(number, parts, size):
        yield record


class Values:
    """Cuts out the values that lie `depth` brackets deep: 0 for objects one after the other, 1 for an array's, 2 for
    those of an array within an object.
    """

    def __init__(self, depth: int) -> None:
        self._base = depth
        self._depth = 0
        # What lies at that depth are records: a list's, not an object's.
        self._in_list = depth == 0
        self._was_opened = False
        self._at = 0
        self._in_string = self._after_backslash = False
        self._parts: list[bytes] = []
        self._size = 0
        # Something that is neither a bracket nor a separator stands where records do.
        self._has_other = False

    def cut(self, pieces: Iterator[bytes]) -> Iterator[Record]:
        """Records by their number, from 1."""
        for piece in pieces:
            yield from self._cut(piece)
        yield from self._other()
        if self._depth > self._base or self._in_string:
            yield self._refused(_CUT_OFF)
        elif self._depth > 0:
            yield self._refused(_NOT_CLOSED)

    def _cut(self, piece: bytes) -> Iterator[Record]:
        here, start = 0, 0
        while here < len(piece):
            if self._in_string:
                here = self._through_string(piece, here)
                continue
            found = _BRACKET.search(piece, here)
            end = found.start() if found else len(piece)
            self._see_between(piece, here, end)
            here = end + 1
            byte = piece[end] if found else None
            if byte == _QUOTE:
                self._in_string = True
                self._has_other = self._has_other or self._is_at_records
            elif byte in _OPENING:
                start = end if self._is_at_records else start
                yield from self._open(is_list=byte == _LIST)
            elif byte is not None:
                yield from self._close(piece[start:here])
        if self._in_list and self._depth > self._base:
            self._keep(piece[start:])

    def _open(self, *, is_list: bool) -> Iterator[Record]:
        if self._is_at_records:
            yield from self._other()
        self._depth += 1
        self._was_opened = True
        if self._depth == self._base:
            self._in_list = is_list

    def _close(self, part: bytes) -> Iterator[Record]:
        """`part` is what the piece holds of the value that may end here."""
        if self._depth == 0:
            self._has_other = True
            return
        self._depth -= 1
        if self._is_at_records:
            self._keep(part)
            yield self._record()
        elif self._depth < self._base:
            yield from self._other()

    @property
    def _is_at_records(self) -> bool:
        return self._in_list and self._depth == self._base

    def _through_string(self, piece: bytes, here: int) -> int:
        if self._after_backslash:
            self._after_backslash = False
            return here + 1
        found = _IN_STRING.match(piece, here)
        assert found is not None  # it matches nothing, too
        end = found.end()
        if end < len(piece):
            self._in_string = piece[end] != _QUOTE
            self._after_backslash = self._in_string
        return end + 1

    def _see_between(self, piece: bytes, start: int, end: int) -> None:
        is_behind = self._depth == 0 and self._was_opened
        if (self._is_at_records or is_behind) and start < end:
            between = _BETWEEN.match(piece, start, end)
            self._has_other = self._has_other or between is None or between.end() < end

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_RECORD_BYTES:
            self._parts.clear()
        else:
            self._parts.append(part)

    def _record(self) -> Record:
        self._at += 1
        record = _record(self._at, self._parts, self._size)
        self._parts.clear()
        self._size = 0
        return record

    def _other(self) -> Iterator[Record]:
        if self._has_other:
            self._has_other = False
            yield self._refused("not a JSON object")

    def _refused(self, reason: str) -> Record:
        self._at += 1
        return Record(at=self._at, refused=reason)


def _line(number: int, parts: list[bytes], size: int) -> Record | None:
    if size <= MAX_RECORD_BYTES and not b"".join(parts).strip():
        return None
    return _record(number, parts, size)


def _record(at: int, parts: list[bytes], size: int) -> Record:
    if size > MAX_RECORD_BYTES:
        return Record(at=at, refused=_TOO_LONG)
    try:
        return Record(at=at, text=b"".join(parts).decode().strip())
    except UnicodeDecodeError:
        return Record(at=at, refused=_NOT_UTF8)
