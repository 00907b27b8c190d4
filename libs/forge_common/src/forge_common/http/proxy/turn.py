"""One turn of a client connection: a request, whoever answers it, and the framing of the reply.

It knows nothing about upstreams; answerers know nothing about sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.utils import formatdate
from enum import Flag, auto
from typing import TYPE_CHECKING, Protocol

from forge_common.http.proxy import framing
from forge_common.http.proxy.messages import AbortReason, Header, Refuse, RequestHead

if TYPE_CHECKING:
    from forge_common.http.proxy.connection import ClientConnection

_NO_BODY = frozenset({204, 304})
JOINED_BYTES = 64 * 1024


class Hold(Flag):
    """Why nothing is read from the client at present."""

    NONE = 0
    PIPELINE = auto()
    UPLOAD = auto()


def send(transport: asyncio.WriteTransport, pieces: list[bytes]) -> None:
    """As one buffer where that is cheap: several at once take uvloop's slower path."""
    if len(pieces) == 1:
        transport.write(pieces[0])
    elif sum(map(len, pieces)) <= JOINED_BYTES:
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)


class Answerer(Protocol):
    """Takes the request's body and answers through the turn's reply methods."""

    def on_body(self, data: bytes) -> None: ...

    def on_body_end(self) -> None: ...

    def on_fed(self) -> None:
        """What has arrived in one piece has been handed over."""

    def on_client_gone(self, reason: AbortReason) -> None:
        """Nothing that is written from now on reaches anybody."""

    def on_writable(self, writable: bool) -> None:
        """False when the client reads too slowly: write nothing more until True."""

    def tick(self, now: float) -> None:
        """Called about once a second."""


class Turn:
    __slots__ = (
        "_chunked",
        "_early",
        "_out",
        "_silent",
        "_until_close",
        "answerer",
        "connection",
        "head",
        "is_complete",
        "is_over",
        "keep_alive",
        "received",
        "refusal",
        "started",
    )

    def __init__(self, connection: ClientConnection, head: RequestHead, *, keep_alive: bool) -> None:
        self.connection = connection
        self.head = head
        self.keep_alive = keep_alive
        self.answerer: Answerer | None = None
        self.refusal: Refuse | None = None
        # The parser calls a bodyless request complete only after its head has been answered.
        self.is_complete = not head.has_body
        self.is_over = False
        self.received = 0
        self.started = False
        self._early: list[bytes] = []
        self._out: list[bytes] = []
        self._chunked = False
        self._silent = False
        self._until_close = False

    # The request

    def take(self, answerer: Answerer) -> None:
        """From now on `answerer` gets the body, beginning with what has already come."""
        self.answerer = answerer
        early, self._early = self._early, []
        for data in early:
            answerer.on_body(data)
        if self.is_complete and not self.is_over:
            answerer.on_body_end()

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        if self.answerer is None:
            self._early.append(data)
        else:
            self.answerer.on_body(data)

    def complete(self) -> None:
        if self.is_complete:
            return
        self.is_complete = True
        if self.answerer is not None:
            self.answerer.on_body_end()

    def hold_upload(self, hold: bool) -> None:
        """True: the client's body comes faster than it can be taken."""
        if hold:
            self.connection.hold(Hold.UPLOAD)
        else:
            self.connection.release(Hold.UPLOAD)

    @property
    def expects_continue(self) -> bool:
        return (
            not self.is_complete
            and self.head.version == "1.1"
            and self.head.fields.get(b"expect", b"").lower() == b"100-continue"
        )

    # The reply

    def interim(self, status: int, reason: bytes | None, headers: Sequence[Header] = ()) -> None:
        """A 1xx reply. HTTP/1.0 knows none."""
        if self.head.version == "1.1" and not self.started:
            self.connection.write(
                [framing.response_block(status, reason, headers, drops=framing.HOP_BY_HOP, added=b"")]
            )

    def start(
        self,
        status: int,
        reason: bytes | None,
        headers: Sequence[Header],
        *,
        drops: frozenset[bytes] = framing.HOP_BY_HOP,
        added: bytes = b"",
        has_length: bool,
    ) -> None:
        """The reply's head. `has_length`: `headers` say how long the body is."""
        self.started = True
        self._silent = status in _NO_BODY or self.head.method == "HEAD"
        if not has_length and not self._silent:
            if self.head.version == "1.1":
                self._chunked = True
                added += framing.CHUNKED
            else:
                self._until_close = True
                self.keep_alive = False
        # Whoever is still sending a body learns now that the connection ends with this reply.
        if not self.is_complete or self.connection.is_closing:
            self.keep_alive = False
        if not self.keep_alive:
            added += framing.CLOSE
        elif self.head.version == "1.0":
            added += framing.KEEP_ALIVE
        self._out.append(framing.response_block(status, reason, headers, drops=drops, added=added))

    def write(self, data: bytes) -> None:
        """A piece of the body; sent at the next flush."""
        if self._silent or not data:
            return
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def flush(self) -> None:
        if self._out and not self.is_over:
            out, self._out = self._out, []
            self.connection.write(out)

    def end(self) -> None:
        """The reply is whole. The next turn begins."""
        if self.is_over:
            return
        if self._chunked:
            self._out.append(framing.LAST_CHUNK)
        self.flush()
        self.close()
        self.connection.turn_done(self)

    def cut(self) -> None:
        """The reply cannot be finished: the client must see that, so no clean end is written."""
        if self.is_over:
            return
        self.flush()
        self.close()
        self.connection.cut(reset=self._until_close)

    def close(self) -> None:
        """Nothing more is said. Turn and answerer let go of each other, so that bodies do not wait for the collector of cycles."""
        self.is_over = True
        self.answerer = None

    def refuse(self, refusal: Refuse) -> None:
        """A finished reply. The body is left out for HEAD."""
        if self.is_over:
            return
        headers = [
            (b"Date", formatdate(usegmt=True).encode()),
            (b"Content-Type", refusal.content_type),
            (b"Content-Length", b"%d" % len(refusal.body)),
            *refusal.headers,
        ]
        self.start(refusal.status, None, headers, has_length=True)
        self.write(refusal.body)
        self.end()
