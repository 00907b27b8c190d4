"""What readers of streamed answers share: from bytes to JSON objects, up to the event that ends the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from forge_collector.dialects.dialect import Answered, JsonObject, Unreadable, parse_object
from forge_collector.dialects.ndjson import LineParser
from forge_collector.dialects.sse import EventParser

_DONE = b"[DONE]"


class StreamedAnswer(ABC):
    """Gives each event to `take` until one of them sets `is_done`; whatever follows that is not looked at.

    `is_damaged` once an event was torn, was none of the dialect's or told of an error: what came around it is kept, as partial.
    """

    def __init__(self, parser: EventParser | LineParser) -> None:
        self._parser = parser
        self.is_done = False
        self.is_damaged = False
        self._is_empty = True

    @abstractmethod
    def take(self, event: JsonObject) -> None: ...

    @abstractmethod
    def answer(self) -> Answered:
        """What the events so far make."""

    def feed(self, data: bytes) -> None:
        self._read(self._parser.feed(data))

    def answered(self) -> Answered:
        self._read(self._parser.finish())
        if self._is_empty:
            raise Unreadable("the stream holds no event of this dialect")
        return self.answer()

    def _read(self, events: list[bytes]) -> None:
        for event in events:
            if self.is_done:
                return
            if event == _DONE:
                self.is_done = True
                return
            try:
                self.take(parse_object(event))
                self._is_empty = False
            except Unreadable:
                self.is_damaged = True
