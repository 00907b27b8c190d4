"""JSON documents, one a line, from a copy of the stream, incrementally. Works on bytes, so no split can fall inside a character."""

from __future__ import annotations


class LineParser:
    """`feed` returns the lines that this chunk completed, without empty ones; a CR before the line feed is white space."""

    def __init__(self) -> None:
        self._line: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            self._line.append(chunk)
            return []
        if self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
        rest = lines.pop()
        self._line = [rest] if rest else []
        return [line for line in lines if line and not line.isspace()]

    def finish(self) -> list[bytes]:
        """The last line when the stream ends without its line feed."""
        line, self._line = b"".join(self._line), []
        return [line] if line and not line.isspace() else []
