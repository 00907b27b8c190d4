"""Server-sent events from a copy of the stream, incrementally. Works on bytes, so no split can fall inside a character."""

from __future__ import annotations


class EventParser:
    r"""Events however the bytes are cut: CR, LF or CRLF, `data:` with or without a space, many events in a chunk.

    `feed` returns the `data` of the events that this chunk completed, lines joined by a line feed. Other fields and
    comments are skipped: no dialect's event needs its name to be understood.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._after_cr = False
        self._is_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        if not chunk:
            return []
        if self._after_cr:
            # The line feed of a CRLF that the cut fell into.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        text = self._rest + chunk
        if self._is_start and len(text) >= 3:
            text = text.removeprefix(b"\xef\xbb\xbf")
            self._is_start = False
        lines = text.splitlines(keepends=True)
        self._rest = b"" if not lines or lines[-1][-1:] in (b"\n", b"\r") else lines.pop()
        self._after_cr = not self._rest and text.endswith(b"\r")
        return self._events(lines)

    def finish(self) -> list[bytes]:
        """What the last event holds when the stream ends without its empty line."""
        events = self._events([self._rest, b"\n"]) if self._rest or self._data else []
        self._rest = b""
        return events

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            content = line.rstrip(b"\r\n")
            if content.startswith(b"data:"):
                self._data.append(content[5:].removeprefix(b" "))
            elif not content and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
        return events
