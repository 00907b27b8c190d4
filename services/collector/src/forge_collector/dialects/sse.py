"""Server-sent events from a copy of the stream, incrementally. Works on bytes, so no split can fall inside a character."""

from __future__ import annotations

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventParser:
    r"""Events however the bytes are cut: CR, LF or CRLF, `data:` with or without a space, many events in a chunk.

    `feed` returns the `data` of the events that this chunk completed, lines joined by a line feed. Other fields and
    comments are skipped: no dialect's event needs its name to be understood.
    """

    def __init__(self) -> None:
        # A line that came in many pieces is joined once, when it ends: an image may be one line of megabytes.
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._is_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            # The line feed of a CRLF that the cut fell into.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            self._line.append(chunk)
            return []
        if self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
        rest = lines.pop()
        self._line = [rest] if rest else []
        return self._events(lines)

    def finish(self) -> list[bytes]:
        """What the last event holds when the stream ends without its empty line."""
        lines, self._line = [b"".join(self._line), b""], []
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        if self._is_start:
            self._is_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        events = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return events
