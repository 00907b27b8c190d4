"""Two answerers that need the request's body in their hands: to decide by it, or only to be rid of it."""

from __future__ import annotations

from collections.abc import Callable

from forge_common.errors import CallerError
from forge_common.http.proxy.dialects import Dialect
from forge_common.http.proxy.messages import AbortReason, Refuse
from forge_common.http.proxy.turn import Turn

# A refused body so small is let in, so that the connection can be kept.
POLITE_BYTES = 64 * 1024


class BodyTooLarge(CallerError):
    status = 413


class Collecting:
    """Answers a turn by asking again once the body is there."""

    __slots__ = ("_dialect", "_max_bytes", "_pieces", "_size", "_then", "_turn")

    def __init__(self, turn: Turn, max_bytes: int, dialect: Dialect, then: Callable[[bytes], None]) -> None:
        self._turn = turn
        self._max_bytes = max_bytes
        self._dialect = dialect
        self._then = then
        self._pieces: list[bytes] = []
        self._size = 0

    def begin(self) -> None:
        if (self._turn.head.content_length or 0) > self._max_bytes:
            self._refuse()
            return
        if self._turn.expects_continue:
            self._turn.interim(100, None)
        self._turn.take(self)

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_bytes:
            self._refuse()
        else:
            self._pieces.append(data)

    def on_body_end(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._then(b"".join(pieces))

    def _refuse(self) -> None:
        self._pieces = []
        error = BodyTooLarge(f"the request's body is over {self._max_bytes} bytes", code="request_too_large")
        self._turn.refuse(Refuse.of(error, self._dialect))

    def on_fed(self) -> None:
        """Nothing is passed on yet."""

    def on_client_gone(self, reason: AbortReason) -> None:
        del reason
        self._pieces = []

    def on_writable(self, writable: bool) -> None:
        """Nothing is written before the decision."""

    def tick(self, now: float) -> None:
        """The connection itself minds how long a body may take."""


class Refusing:
    """Answers a turn with a refusal, after a small body rather than in the middle of it."""

    __slots__ = ("_refusal", "_turn")

    def __init__(self, turn: Turn, refusal: Refuse) -> None:
        self._turn = turn
        self._refusal = refusal

    def begin(self) -> None:
        head = self._turn.head
        is_small = head.content_length is not None and head.content_length <= POLITE_BYTES
        if self._turn.is_complete or (is_small and not self._turn.expects_continue):
            self._turn.take(self)
        else:
            self._turn.refuse(self._refusal)

    def on_body(self, data: bytes) -> None:
        """Let in and forgotten."""

    def on_body_end(self) -> None:
        self._turn.refuse(self._refusal)

    def on_fed(self) -> None:
        """Nothing is passed on at all."""

    def on_client_gone(self, reason: AbortReason) -> None:
        """Nobody to refuse."""

    def on_writable(self, writable: bool) -> None:
        """One small write needs no pacing."""

    def tick(self, now: float) -> None:
        """Nothing to wait for."""
