"""The reader of answers that come as one JSON document."""

from __future__ import annotations

from collections.abc import Callable

from forge_collector.dialects.dialect import Answered, JsonObject, parse_object


class WholeAnswer:
    """Only the transfer's end ends it; `read` raises Unreadable for a document that is no answer."""

    is_done = False

    def __init__(self, read: Callable[[JsonObject], Answered]) -> None:
        self._read = read
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)

    def answered(self) -> Answered:
        return self._read(parse_object(b"".join(self._chunks)))
