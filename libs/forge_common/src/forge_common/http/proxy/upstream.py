"""Connections to upstreams, kept alive and shared. A connection carries one exchange at a time."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Protocol, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from forge_common.http.proxy.messages import AbortReason, Header, Limits, ProxyStats, Upstream
from forge_common.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger()

_NO_BODY = frozenset({204, 304})
_FIRST_FINAL = 200
_SWITCHING = 101


class Listener(Protocol):
    """Who gets the reply. `on_reply_end` or `on_upstream_lost` is the last call."""

    is_head_request: bool

    def on_first_byte(self) -> None: ...

    def on_interim(self, status: int, reason: bytes, headers: list[Header]) -> None: ...

    def on_reply_head(
        self, status: int, reason: bytes, headers: list[Header], fields: dict[bytes, bytes]
    ) -> None: ...

    def on_reply_body(self, data: bytes) -> None: ...

    def on_reply_end(self) -> None: ...

    def on_upstream_lost(self, reason: AbortReason) -> None: ...

    def on_upstream_writable(self, writable: bool) -> None: ...

    def flush(self) -> None:
        """All that has arrived so far has been handed over."""

    @property
    def has_sent_all(self) -> bool: ...


class UnexpectedReply(Exception):
    """The upstream answers what it was not asked."""


class _Unconnected(asyncio.Transport):
    """Stands where no transport is yet."""

    def abort(self) -> None:
        return


class UpstreamConnection(asyncio.Protocol):
    def __init__(self, pool: UpstreamPool, upstream: Upstream) -> None:
        self.upstream = upstream
        self.is_reused = False
        self.idle_since = 0.0
        self.transport: asyncio.Transport = _Unconnected()
        self._pool = pool
        self._listener: Listener | None = None
        self._parser = HttpResponseParser(self)
        self._reason = b""
        self._headers: list[Header] = []
        self._in_head = False
        self._heard = False
        self._done = False
        self._is_spent = False
        self._reusable = False
        self._ends_by_close = False

    def listen(self, listener: Listener) -> None:
        self._listener = listener
        self._heard = self._done = self._in_head = self._ends_by_close = False

    def drop(self) -> None:
        """The exchange is called off: the upstream notices at once and stops working for it."""
        self._listener = None
        self.transport.abort()

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop\'s transports do not inherit from asyncio\'s.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        listener = self._listener
        if listener is None:
            self.transport.abort()
            return
        if not self._heard:
            self._heard = True
            listener.on_first_byte()
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade, UnexpectedReply) as error:
            self._invalid(error)
            return
        if self._done:
            self._finish()
        else:
            listener.flush()

    def eof_received(self) -> None:
        # Nothing more can come, so nothing more need be sent either.
        if not self._ends_by_close:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        listener, self._listener = self._listener, None
        if listener is None:
            return
        if self._ends_by_close and exc is None:
            listener.on_reply_end()
        else:
            listener.on_upstream_lost(AbortReason.UPSTREAM_DIED)

    def pause_writing(self) -> None:
        if self._listener is not None:
            self._listener.on_upstream_writable(False)

    def resume_writing(self) -> None:
        if self._listener is not None:
            self._listener.on_upstream_writable(True)

    # The parser

    def on_message_begin(self) -> None:
        if self._done or self._listener is None:
            raise UnexpectedReply("a second reply to one request")
        self._reason = b""
        self._headers = []
        self._in_head = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        listener = self._listener
        if listener is None:
            return
        status = self._parser.get_status_code()
        if status < _FIRST_FINAL:
            if status == _SWITCHING:
                raise UnexpectedReply("101 without having been asked to upgrade")
            listener.on_interim(status, self._reason, self._headers)
            return
        fields = {name.lower(): value for name, value in self._headers}
        self._reusable = self._parser.should_keep_alive()
        listener.on_reply_head(status, self._reason, self._headers, fields)
        if listener.is_head_request or status in _NO_BODY:
            # The parser would wait for the body that the headers describe; none comes.
            self._done = self._is_spent = True
        else:
            self._ends_by_close = not (b"content-length" in fields or b"transfer-encoding" in fields)

    def on_body(self, data: bytes) -> None:
        if self._done:
            raise UnexpectedReply("a body where none may be")
        if self._listener is not None:
            self._listener.on_reply_body(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= _FIRST_FINAL:
            self._done = True

    # The end of an exchange

    def _finish(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        if self._is_spent:
            self._parser = HttpResponseParser(self)
            self._is_spent = False
        if self._reusable and listener.has_sent_all:
            self._pool.release(self)
        else:
            self.transport.close()
        listener.on_reply_end()

    def _invalid(self, error: Exception) -> None:
        cause = error.__context__ if isinstance(error, HttpParserCallbackError) else error
        if isinstance(cause, UnexpectedReply | HttpParserError | HttpParserUpgrade):
            log.warning("upstream.reply_invalid", upstream=self.upstream.host, reason=str(cause))
        else:
            log.error("proxy.reply_crashed", exc_info=cause)
        listener, self._listener = self._listener, None
        self.transport.abort()
        if listener is not None:
            listener.on_upstream_lost(AbortReason.UPSTREAM_INVALID)


class UpstreamPool:
    """Idle connections by upstream, last used first: the rest grow old and are closed."""

    def __init__(
        self,
        limits: Limits,
        stats: ProxyStats,
        now: Callable[[], float],
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._stats = stats
        self._now = now
        self._ssl_context = ssl_context
        self._idle: dict[tuple[str, str, int], list[UpstreamConnection]] = {}

    def take(self, upstream: Upstream) -> UpstreamConnection | None:
        idle = self._idle.get(upstream.key)
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                connection.is_reused = True
                self._stats.upstream_reuses += 1
                return connection
        return None

    async def connect(self, upstream: Upstream) -> UpstreamConnection:
        """Raises OSError or TimeoutError when no connection comes about."""
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        if upstream.scheme == "https":
            options = {"ssl": self._context(), "server_hostname": upstream.host}
        connection = UpstreamConnection(self, upstream)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await loop.create_connection(lambda: connection, upstream.host, upstream.port, **options)
        except BaseException:
            # Called off in the very moment when it came about: nobody else knows of the connection.
            connection.drop()
            raise
        self._stats.upstream_connects += 1
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        idle = self._idle.setdefault(connection.upstream.key, [])
        if len(idle) >= self._limits.idle_upstreams:
            connection.transport.close()
            return
        connection.idle_since = self._now()
        idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        idle = self._idle.get(connection.upstream.key)
        if idle and connection in idle:
            idle.remove(connection)

    def sweep(self, now: float) -> None:
        for idle in self._idle.values():
            while idle and now - idle[0].idle_since > self._limits.idle_upstream_s:
                idle.pop(0).transport.close()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.transport.abort()
        self._idle.clear()

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        return self._ssl_context
