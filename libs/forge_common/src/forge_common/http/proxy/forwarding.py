"""One forwarded exchange: the request to the upstream, the reply to the client, a tap beside both.

A reply is never invented once it has begun: what breaks off at the upstream breaks off at the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from forge_common.errors import DependencyDown
from forge_common.http.proxy import framing
from forge_common.http.proxy.messages import AbortReason, Forward, Header, Held, Refuse, Upstream
from forge_common.http.proxy.turn import Turn, send
from forge_common.logging import get_logger

if TYPE_CHECKING:
    from forge_common.http.proxy.server import ProxyServer
    from forge_common.http.proxy.upstream import UpstreamConnection

log = get_logger()

# A connection that its server had closed while it lay idle is lost within a round trip. What is lost later may have been
# worked on, and a POST must not be worked on twice.
STALE_S = 1.0
REPLAY_BYTES = 1024 * 1024
UNCONNECTED_BYTES = 64 * 1024
REWRITE_BYTES = 1024 * 1024
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_FIRST_ERROR = 400


class Forwarding:
    """Answers a turn from an upstream."""

    __slots__ = (
        "_added",
        "_collected",
        "_connecting",
        "_forward",
        "_held_bytes",
        "_held_since",
        "_holding",
        "_is_chunked",
        "_is_over",
        "_is_own_body",
        "_replay",
        "_replay_bytes",
        "_reply",
        "_retried",
        "_server",
        "_since",
        "_tap",
        "_then",
        "_turn",
        "_unsent",
        "_upstream",
        "has_sent_all",
        "is_head_request",
    )

    def __init__(self, turn: Turn, forward: Forward, server: ProxyServer) -> None:
        self._turn = turn
        self._forward = forward
        self._server = server
        self._tap = forward.tap
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_own_body = forward.body is not None
        self._is_chunked = not self._is_own_body and turn.head.has_body and turn.head.content_length is None
        # All that has been sent, for as long as it may have to be sent again.
        self._replay: list[bytes] | None = []
        self._replay_bytes = 0
        self._unsent: list[bytes] = []
        self._retried = False
        self._reply: tuple[int, bytes, list[Header], dict[bytes, bytes]] | None = None
        self._collected: list[bytes] | None = None
        self._added = b""
        # The tap's futures that are awaited before anything more is written, and what comes then.
        self._holding: list[Held] = []
        self._held_since = 0.0
        self._held_bytes = 0
        self._then: Callable[[], None] | None = None
        self._is_over = False
        self._since = server.now()
        self.has_sent_all = False
        self.is_head_request = turn.head.method == "HEAD"

    def begin(self) -> None:
        """Raises ValueError when a header that the route gave cannot be sent; nothing has been then."""
        forward, head = self._forward, self._turn.head
        self._added = framing.header_lines(forward.response_headers)
        if forward.headers is not None:
            framing.header_lines(forward.headers)
        if self._tap is not None:
            self._watch(self._tap.on_request_head, head)
        self._send(self._request_block())
        if forward.body is not None:
            self._send_body(forward.body)
            self.has_sent_all = True
        upstream = self._server.pool.take(forward.upstream)
        if upstream is not None:
            self._attach(upstream)
        else:
            self._connect()
        self._turn.take(self)

    def _request_block(self) -> bytes:
        forward, head = self._forward, self._turn.head
        line = b""
        if forward.body is not None:
            line = b"Content-Length: %d\r\n" % len(forward.body)
        elif self._is_chunked:
            line = framing.CHUNKED
        return framing.request_block(
            head.method,
            forward.upstream.prefix + forward.target,
            forward.upstream.authority,
            head.headers if forward.headers is None else forward.headers,
            drops=framing.request_drops(head.fields.get(b"connection"), reframed=self._is_own_body),
            framing=line,
        )

    # From the client

    def on_body(self, data: bytes) -> None:
        if self._is_own_body or self._is_over:
            return
        self._send_body(data)

    def on_body_end(self) -> None:
        if self._is_over or self.has_sent_all:
            return
        if self._is_chunked:
            self._send(framing.LAST_CHUNK)
        self.has_sent_all = True
        self._since = self._server.now()

    def on_fed(self) -> None:
        """One write for what came together: each costs a system call."""
        if self._unsent and self._upstream is not None:
            unsent, self._unsent = self._unsent, []
            self._since = self._server.now()
            send(self._upstream.transport, unsent)

    def on_client_gone(self, reason: AbortReason) -> None:
        self._end(reason)

    def on_writable(self, writable: bool) -> None:
        self._since = self._server.now()
        if self._upstream is None:
            return
        if writable:
            self._upstream.transport.resume_reading()
        else:
            self._upstream.transport.pause_reading()

    def tick(self, now: float) -> None:
        if self._holding and now - self._held_since > self._server.limits.hold_s:
            self._overrun()
        if self._is_over or self._upstream is None or self._turn.connection.is_stalled:
            return
        limits = self._server.limits
        patience = limits.first_byte_s if self._reply is None else limits.between_bytes_s
        if now - self._since > patience:
            self.on_upstream_lost(AbortReason.UPSTREAM_TIMED_OUT)

    # To the upstream

    def _send_body(self, data: bytes) -> None:
        if self._tap is not None:
            self._watch(self._tap.on_request_body, data)
        self._send(framing.chunk(data) if self._is_chunked else data)

    def _send(self, data: bytes) -> None:
        if self._replay is not None:
            self._replay.append(data)
            self._replay_bytes += len(data)
        if self._upstream is not None:
            self._unsent.append(data)
            if not self._turn.connection.is_feeding:
                self.on_fed()
            if self._replay_bytes > REPLAY_BYTES:
                self._replay = None
        elif self._replay_bytes > UNCONNECTED_BYTES and not self._is_own_body:
            self._hold(True)

    def _connect(self) -> None:
        self._connecting = self._server.loop.create_task(self._connected())

    async def _connected(self) -> None:
        try:
            upstream = await self._server.pool.connect(self._forward.upstream)
        except (OSError, TimeoutError, UnicodeError) as error:
            log.warning("upstream.unreachable", upstream=self._forward.upstream.host, reason=str(error))
            self.on_upstream_lost(AbortReason.UPSTREAM_UNREACHABLE)
            return
        finally:
            self._connecting = None
        if self._is_over:
            upstream.drop()
            return
        self._hold(False)
        self._attach(upstream)

    def _attach(self, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        upstream.listen(self)
        assert self._replay is not None
        self._unsent = [*self._replay]
        if not self._turn.connection.is_feeding:
            self.on_fed()
        if self._turn.connection.is_stalled:
            upstream.transport.pause_reading()

    def on_upstream_writable(self, writable: bool) -> None:
        self._hold(not writable)

    def _hold(self, hold: bool) -> None:
        if not hold or not self._turn.is_complete:
            self._turn.hold_upload(hold)

    # From the upstream

    def on_first_byte(self) -> None:
        self._replay = None

    def on_interim(self, status: int, reason: bytes, headers: list[Header]) -> None:
        self._turn.interim(status, reason, headers)

    def on_reply_head(
        self, status: int, reason: bytes, headers: list[Header], fields: dict[bytes, bytes]
    ) -> None:
        self._reply = (status, reason, headers, fields)
        if self._tap is not None:
            self._watch(self._tap.on_response_head, status, headers)
        if status >= _FIRST_ERROR and self._forward.rewrite_error is not None and not self.is_head_request:
            self._collected = []
        else:
            self._start()

    def on_reply_body(self, data: bytes) -> None:
        if self._tap is not None:
            self._watch(self._tap.on_response_body, data)
        if self._holding:
            self._held_bytes += len(data)
            if self._held_bytes > self._server.limits.hold_bytes:
                self._overrun()
        if self._collected is None:
            self._turn.write(data)
            return
        self._collected.append(data)
        if sum(map(len, self._collected)) > REWRITE_BYTES:
            self._pass_on_collected()

    def flush(self) -> None:
        self._since = self._server.now()
        if not self._holding:
            self._turn.flush()

    def on_reply_end(self) -> None:
        self._upstream = None
        refusal = self._rewritten()
        if self._collected is not None and refusal is None:
            self._pass_on_collected()
        self._end(None)
        self._when_free(self._turn.end if refusal is None else partial(self._turn.refuse, refusal))

    def on_upstream_lost(self, reason: AbortReason) -> None:
        if self._is_over:
            return
        if reason is AbortReason.UPSTREAM_DIED and self._is_stale():
            self._server.stats.stale_retries += 1
            self._retried = True
            self._upstream = None
            self._connect()
            return
        self._end(reason)
        if self._turn.started:
            self._when_free(self._turn.cut)
        else:
            self._turn.refuse(self._failure(reason))

    def _start(self) -> None:
        assert self._reply is not None
        status, reason, headers, fields = self._reply
        self._turn.start(
            status,
            reason,
            headers,
            drops=framing.response_drops(fields.get(b"connection")),
            added=self._added,
            has_length=b"content-length" in fields,
        )

    def _pass_on_collected(self) -> None:
        collected, self._collected = self._collected, None
        self._start()
        self._turn.write(b"".join(collected or ()))

    def _rewritten(self) -> Refuse | None:
        rewrite = self._forward.rewrite_error
        if self._collected is None or self._reply is None or rewrite is None:
            return None
        try:
            return rewrite(self._reply[0], self._reply[2], b"".join(self._collected))
        except Exception:
            log.exception("proxy.rewrite_failed")
            return None

    def _is_stale(self) -> bool:
        """Whether the pooled connection had been closed before the request reached anybody."""
        if self._upstream is None or not self._upstream.is_reused or self._retried or self._replay is None:
            return False
        quickly = self._server.now() - self._since < STALE_S
        return quickly or self._turn.head.method in _IDEMPOTENT

    # The end

    def _end(self, reason: AbortReason | None) -> None:
        """Let go of everything; None is the good end."""
        if self._is_over:
            return
        self._is_over = True
        self._hold(False)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._upstream is not None:
            self._upstream.drop()
            self._upstream = None
        if reason is not None:
            aborts = self._server.stats.aborts
            aborts[reason] = aborts.get(reason, 0) + 1
        if self._tap is not None and reason is None:
            self._watch(self._tap.before_last_byte)
        elif self._tap is not None and reason is not None:
            self._watch(self._tap.on_abort, reason)

    # The tap

    def _watch(self, call: Callable[..., Held | None], *facts: Any) -> None:
        """A tap that fails is dropped; the traffic goes on."""
        try:
            held = call(*facts)
        except Exception:
            self._tap = None
            self._server.stats.tap_failures += 1
            log.exception("tap.failed")
            return
        if held is not None:
            self._holding.append(held)
            self._held_since, self._held_bytes = self._server.now(), 0
            held.add_done_callback(self._let_go)

    def _when_free(self, then: Callable[[], None]) -> None:
        if self._holding:
            self._then = then
        else:
            then()

    def _let_go(self, held: Held) -> None:
        if held in self._holding:
            self._holding.remove(held)
            if not self._holding:
                self._resume()

    def _overrun(self) -> None:
        """The traffic does not wait any longer."""
        self._holding.clear()
        self._server.stats.tap_overruns += 1
        log.warning("tap.overrun", upstream=self._forward.upstream.host)
        self._resume()

    def _resume(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()
        elif not self._is_over:
            self._turn.flush()

    def _failure(self, reason: AbortReason) -> Refuse:
        forward = self._forward
        if reason is AbortReason.UPSTREAM_UNREACHABLE and forward.unreachable is not None:
            return forward.unreachable
        return Refuse.of(_error(reason, forward.upstream), forward.dialect)


def _error(reason: AbortReason, upstream: Upstream) -> DependencyDown:
    name = f"{upstream.scheme}://{upstream.host}:{upstream.port}"
    what, status = {
        AbortReason.UPSTREAM_UNREACHABLE: (f"{name} cannot be reached", 502),
        AbortReason.UPSTREAM_DIED: (f"{name} closed the connection without answering", 502),
        AbortReason.UPSTREAM_INVALID: (f"{name} answered with something that is not HTTP", 502),
        AbortReason.UPSTREAM_TIMED_OUT: (f"{name} did not answer in time", 504),
    }[reason]
    return DependencyDown(what, code=reason.value, status=status, fix="see whether it runs, then try again")
