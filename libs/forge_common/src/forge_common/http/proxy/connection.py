"""A client's connection: parsing, limits, the order of pipelined requests, backpressure, and how it ends.

Smuggling is refused here: one length, one host, nothing that two servers could read differently.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from forge_common.errors import CallerError
from forge_common.http.proxy.messages import AbortReason, Header, Refuse, RequestHead
from forge_common.http.proxy.turn import Hold, Turn, send
from forge_common.logging import get_logger

if TYPE_CHECKING:
    from forge_common.http.proxy.server import ProxyServer

log = get_logger()

LINGER_S = 2.0
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_UPGRADE = frozenset({b"upgrade", b"http2-settings"})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BadRequest(CallerError):
    """The request cannot be read safely; the connection ends after the reply."""


class ClientConnection(asyncio.Protocol):
    def __init__(self, server: ProxyServer) -> None:
        self._server = server
        self._limits = server.limits
        self._transport: asyncio.Transport
        self._peer: tuple[str, int] | None = None
        self._parser = HttpRequestParser(self)
        self._turn: Turn | None = None
        self._waiting: deque[Turn] = deque()
        self._incoming: Turn | None = None
        self._target = b""
        self._headers: list[Header] = []
        self._in_head = False
        self._head_bytes = 0
        self._is_upgrade = False
        self._hold = Hold.NONE
        self.is_feeding = False
        self._deaf = False
        self._lingering = False
        self._stalled = False
        self._since = 0.0
        self._head_since = 0.0
        self.is_closing = False

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop\'s transports do not inherit from asyncio\'s.
        self._transport = cast("asyncio.Transport", transport)
        self._peer = transport.get_extra_info("peername")
        self._since = self._server.now()
        self._server.add(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._since = self._server.now()
        if self._in_head or self._incoming is None:
            self._head_bytes += len(data)
        self.is_feeding = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except HttpParserCallbackError as error:
            self._reject(error.__context__ or error)
        except HttpParserError as error:
            self._reject(BadRequest(f"the request is not valid HTTP: {error}", code="bad_request"))
        else:
            if self._in_head and self._head_bytes > self._limits.head_bytes:
                self._reject(self._head_too_large())
        finally:
            self.is_feeding = False
        if self._turn is not None and self._turn.answerer is not None:
            self._turn.answerer.on_fed()

    def eof_received(self) -> None:
        """The client has closed its side: as gone as can be known, so nobody goes on working for it."""
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_closing = True
        self._server.remove(self)
        self._gone()

    def pause_writing(self) -> None:
        self._stalled = True
        self._since = self._server.now()
        if self._turn is not None and self._turn.answerer is not None:
            self._turn.answerer.on_writable(False)

    def resume_writing(self) -> None:
        self._stalled = False
        self._since = self._server.now()
        if self._turn is not None and self._turn.answerer is not None:
            self._turn.answerer.on_writable(True)

    @property
    def is_stalled(self) -> bool:
        return self._stalled

    # The parser

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._in_head = True
        self._head_since = self._since

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, after the head; they are dropped, as RFC 9110 §6.5.1 allows.
        if self._in_head:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._parser.should_upgrade():
            self._is_upgrade = True
            return
        turn = Turn(self, self._read_head(), keep_alive=self._parser.should_keep_alive())
        self._head_bytes = 0
        self._incoming = turn
        if self._turn is None:
            self._begin(turn)
        else:
            self._waiting.append(turn)
            self.hold(Hold.PIPELINE)

    def on_body(self, data: bytes) -> None:
        turn = self._incoming
        if turn is None or turn.is_over:
            return
        if turn.received + len(data) > self._limits.body_bytes:
            raise _too_large(self._limits.body_bytes)
        turn.feed(data)

    def on_message_complete(self) -> None:
        if self._is_upgrade:
            return
        turn, self._incoming = self._incoming, None
        if turn is not None and not turn.is_over:
            turn.complete()

    # Turns

    def _begin(self, turn: Turn) -> None:
        self._turn = turn
        if turn.refusal is not None:
            turn.refuse(turn.refusal)
        else:
            self._server.answer(turn)

    def turn_done(self, turn: Turn) -> None:
        self._since = self._server.now()
        self._turn = None
        if not turn.is_complete:
            self._linger()
        elif not turn.keep_alive or self.is_closing:
            self._close()
        elif self._waiting:
            # Not from inside the finished turn: a row of pipelined requests must not become a deep stack.
            self._server.loop.call_soon(self._next)

    def _next(self) -> None:
        if self._turn is not None or not self._waiting:
            return
        turn = self._waiting.popleft()
        if not self._waiting:
            self.release(Hold.PIPELINE)
        self._begin(turn)

    def _read_head(self) -> RequestHead:
        fields = self._fields()
        method = self._parser.get_method().decode("ascii")
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadRequest(f"HTTP/{version} is not spoken here", code="http_version", status=505)
        if version == "1.1" and b"host" not in fields:
            raise BadRequest("a HTTP/1.1 request needs a Host header", code="bad_request")
        length, is_chunked = _body_length(fields, version)
        if length is not None and length > self._limits.body_bytes:
            raise _too_large(self._limits.body_bytes)
        return RequestHead(
            method=method,
            target=_origin_form(self._target, self._limits.target_bytes),
            headers=self._headers,
            fields=fields,
            version=version,
            client=self._peer,
            content_length=None if is_chunked else length or 0,
            has_body=is_chunked or bool(length),
        )

    def _fields(self) -> dict[bytes, bytes]:
        fields: dict[bytes, bytes] = {}
        for name, value in self._headers:
            key = name.lower()
            if key not in fields:
                fields[key] = value.strip()
            elif key in _SINGLE:
                raise BadRequest(f"the header {key.decode()} stands there twice", code="bad_request")
        # Only what came in several pieces can be too large without having been noticed by its length.
        if self._head_bytes > self._limits.head_bytes:
            size = len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > self._limits.head_bytes:
                raise self._head_too_large()
        return fields

    def _head_too_large(self) -> BadRequest:
        return BadRequest(
            f"the request's head is over {self._limits.head_bytes} bytes", code="head_too_large", status=431
        )

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Upgrades are optional (RFC 9110 §7.8): read the request again without, since the parser has skipped its body."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._reject(BadRequest("CONNECT is not served here", code="method_not_allowed", status=501))
            return
        lines = [b"%b %b HTTP/1.1\r\n" % (method, self._target)]
        lines += [b"%b: %b\r\n" % header for header in self._headers if header[0].lower() not in _UPGRADE]
        self._is_upgrade = False
        self._parser = HttpRequestParser(self)
        self.data_received(b"".join([*lines, b"\r\n", rest]))

    def _reject(self, error: BaseException) -> None:
        """Answer what cannot be read, after what came before it; then nothing more is read."""
        self._deaf = True
        if not isinstance(error, CallerError):
            log.error("proxy.parser_crashed", exc_info=error)
            error = BadRequest("the request could not be read", code="bad_request")
        self._server.stats.refused += 1
        turn = self._incoming
        if turn is not None and turn is self._turn:
            self._break_off(turn, error)
            return
        if turn is None:
            turn = Turn(self, _unread(self._peer), keep_alive=False)
            self._waiting.append(turn)
        turn.refusal = Refuse.of(error)
        self._incoming = turn
        if self._turn is None:
            self._next()

    def _break_off(self, turn: Turn, error: CallerError) -> None:
        too_large = error.status == 413
        reason = AbortReason.REQUEST_TOO_LARGE if too_large else AbortReason.REQUEST_INVALID
        if turn.answerer is not None:
            turn.answerer.on_client_gone(reason)
        if turn.started:
            turn.cut()
        else:
            turn.refuse(Refuse.of(error))

    # Reading and writing

    def hold(self, why: Hold) -> None:
        if not self._hold:
            self._transport.pause_reading()
        self._hold |= why

    def release(self, why: Hold) -> None:
        if not self._hold:
            return
        self._hold &= ~why
        if not self._hold and not self._transport.is_closing():
            self._since = self._server.now()
            self._transport.resume_reading()

    def write(self, pieces: list[bytes]) -> None:
        if not self._transport.is_closing():
            send(self._transport, pieces)

    # The end

    def cut(self, *, reset: bool) -> None:
        """Close without a clean end. Where closing would look like one, reset."""
        if reset:
            self._reset_on_close()
        self._close()

    def shut(self) -> None:
        """The server stops: an idle connection is closed, a busy one after its reply."""
        self.is_closing = True
        if self._turn is None and not self._in_head:
            self._close()

    def kill(self) -> None:
        self._gone(AbortReason.SHUTDOWN)
        self._transport.abort()

    def tick(self, now: float) -> None:
        if self._turn is not None and self._turn.answerer is not None:
            self._turn.answerer.tick(now)
        since = self._head_since if self._in_head and self._turn is None else self._since
        if now - since <= self._patience():
            return
        if self._turn is not None and self._turn is self._incoming and not self._turn.started:
            self._reject(BadRequest("the request's body stopped coming", code="request_timeout", status=408))
        else:
            self._gone()
            self._transport.abort()

    def _patience(self) -> float:
        if self._lingering:
            return LINGER_S
        if self._stalled or self._transport.is_closing():
            return self._limits.client_stall_s
        if self._turn is None:
            return self._limits.head_s if self._in_head else self._limits.keep_alive_s
        waits_for_body = self._incoming is self._turn and not self._hold
        return self._limits.body_idle_s if waits_for_body else float("inf")

    def _linger(self) -> None:
        """Closing with unread bytes would reset the connection and may destroy the reply on its way: read them off first."""
        self._deaf = True
        self._lingering = True
        self._hold = Hold.NONE
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        self._deaf = True
        self.is_closing = True
        self._transport.close()

    def _gone(self, reason: AbortReason = AbortReason.CLIENT_GONE) -> None:
        self._deaf = True
        turn, self._turn = self._turn, None
        self._waiting.clear()
        if turn is not None and not turn.is_over:
            answerer = turn.answerer
            turn.close()
            if answerer is not None:
                answerer.on_client_gone(reason)

    def _reset_on_close(self) -> None:
        sock: Any = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def _body_length(fields: dict[bytes, bytes], version: str) -> tuple[int | None, bool]:
    """Content-Length and whether the body is chunked. Raises BadRequest for what two servers may read differently."""
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if coding is None:
        return (int(length) if length is not None else None), False
    if length is not None or version == "1.0":
        raise BadRequest("a request is either chunked or has a Content-Length", code="bad_request")
    if coding.lower() != b"chunked":
        raise BadRequest("of transfer codings only chunked is known", code="transfer_coding", status=501)
    return None, True


def _origin_form(target: bytes, limit: int) -> bytes:
    """`/path?query`, also of `http://host/path?query`; `*` stays."""
    if len(target) > limit:
        raise BadRequest(f"the target is over {limit} bytes", code="target_too_long", status=414)
    if target.startswith(b"/") or target == b"*":
        return target
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise BadRequest("the target must begin with a slash", code="bad_request")
    return b"/" + rest.partition(b"/")[2]


def _too_large(limit: int) -> BadRequest:
    return BadRequest(f"the request's body is over {limit} bytes", code="request_too_large", status=413)


def _unread(peer: tuple[str, int] | None) -> RequestHead:
    """Stands for a request whose head could not be read."""
    return RequestHead("GET", b"/", [], {}, "1.1", peer, None, has_body=True)
