"""The server: one port, one event loop, a route that decides, and an ASGI app for what is answered here."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import ssl
import sys
from contextlib import suppress
from dataclasses import astuple
from functools import partial
from typing import Any

from forge_common.errors import ForgeError, NotFound
from forge_common.http.proxy.connection import ClientConnection
from forge_common.http.proxy.dialects import Dialect
from forge_common.http.proxy.forwarding import Forwarding
from forge_common.http.proxy.local import AsgiApp, Lifespan, LocalAnswer
from forge_common.http.proxy.messages import (
    Decision,
    Forward,
    Limits,
    Local,
    NeedsBody,
    ProxyStats,
    Refuse,
    Route,
)
from forge_common.http.proxy.turn import Turn
from forge_common.http.proxy.upstream import UpstreamPool
from forge_common.http.proxy.waiting import Collecting, Refusing
from forge_common.logging import get_logger

log = get_logger()

# A thread that computes gives way to the traffic after so long; Python's own 5 ms are felt in every chunk of a stream.
SWITCH_S = 0.0005
# Each exchange under way takes two files; a system's usual 256 or 1024 are not meant for that. macOS refuses the first.
FILES = (65_536, 10_240)


class ProxyServer:
    """Serves `route` on one port, and `asgi_app` for what the route answers with Local.

    `await start(host, port)` and later `await stop()`, inside a running loop; or `run(host, port)`, which makes a loop
    (uvloop where there is one) and blocks until SIGTERM or SIGINT. `ssl_context` is used towards https upstreams.
    """

    def __init__(
        self,
        route: Route,
        *,
        asgi_app: Any = None,
        limits: Limits | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.stats = ProxyStats()
        self.port = 0
        """The one really bound, also when 0 was asked for."""
        self.loop: asyncio.AbstractEventLoop
        self.pool: UpstreamPool
        self._route = route
        self._app: AsgiApp | None = asgi_app
        self._ssl_context = ssl_context
        self._lifespan: Lifespan | None = None
        self._listening: asyncio.Server | None = None
        self._connections: set[ClientConnection] = set()
        self._emptied = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.TimerHandle | None = None
        # Once a second, or oftener where a limit is shorter than that.
        self._interval = min(
            1.0, min(value for value in astuple(self.limits) if isinstance(value, float)) / 4
        )

    # Life

    async def start(self, host: str, port: int) -> None:
        """Raises OSError when the address cannot be had, LifespanFailed when the app does not start."""
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self.pool = UpstreamPool(self.limits, self.stats, self.now, self._ssl_context)
        if self._app is not None:
            self._lifespan = Lifespan(self._app)
            await self._lifespan.start()
        self._listening = await self.loop.create_server(
            lambda: ClientConnection(self), host, port, backlog=1024
        )
        self.port = int(self._listening.sockets[0].getsockname()[1])
        self._tick()
        log.info("proxy.started", host=host, port=self.port)

    async def stop(self, grace_s: float = 10.0) -> None:
        """Accept nothing more, let replies under way finish for `grace_s` seconds, then cut them."""
        if self._listening is not None:
            self._listening.close()
        for connection in tuple(self._connections):
            connection.shut()
        if self._connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), grace_s)
        for connection in tuple(self._connections):
            connection.kill()
        for task in tuple(self._tasks):
            task.cancel()
        if self._ticker is not None:
            self._ticker.cancel()
        self.pool.close()
        if self._lifespan is not None:
            await self._lifespan.stop()
        log.info("proxy.stopped")

    def run(self, host: str, port: int, *, grace_s: float = 10.0) -> None:
        try:
            from uvloop import run
        except ImportError:
            run = asyncio.run
        run(self._serve(host, port, grace_s))

    async def _serve(self, host: str, port: int, grace_s: float) -> None:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        sys.setswitchinterval(SWITCH_S)
        _allow_many_files()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        await self.start(host, port)
        # What was imported stays for ever: without it in sight, a collection costs a fraction.
        gc.freeze()
        await asked.wait()
        await self.stop(grace_s)

    # What connections and answerers call

    def add(self, connection: ClientConnection) -> None:
        self.stats.connections += 1
        self._connections.add(connection)
        self._emptied.clear()

    def remove(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def answer(self, turn: Turn) -> None:
        self.stats.requests += 1
        try:
            self._carry_out(turn, self._route(turn.head))
        except Exception as error:  # noqa: BLE001  whatever a route raises, its caller gets a reply
            self._fail(turn, error, Dialect.OPENAI)

    def _answer_by_body(self, turn: Turn, needs: NeedsBody, body: bytes) -> None:
        try:
            decision = needs.decide(body)
            if isinstance(decision, Forward) and decision.body is None:
                decision.body = body
            self._carry_out(turn, decision)
        except Exception as error:  # noqa: BLE001
            self._fail(turn, error, needs.dialect)

    def _carry_out(self, turn: Turn, decision: Decision) -> None:
        match decision:
            case Forward():
                Forwarding(turn, decision, self).begin()
            case Refuse():
                self.stats.refused += 1
                Refusing(turn, decision).begin()
            case NeedsBody():
                limit = decision.max_bytes or self.limits.collect_bytes
                Collecting(
                    turn, limit, decision.dialect, partial(self._answer_by_body, turn, decision)
                ).begin()
            case Local():
                if self._app is None or self._lifespan is None:
                    raise NotFound(f"nothing is served at {turn.head.path}")
                LocalAnswer(turn, self._app, self._lifespan.state).begin(self._tasks)

    def _fail(self, turn: Turn, error: Exception, dialect: Dialect) -> None:
        if not isinstance(error, ForgeError):
            log.error("route.crashed", path=turn.head.path, exc_info=error)
            error = ForgeError("the service failed to answer", code="bug", fix="see its log")
        if not turn.started:
            self.stats.refused += 1
            Refusing(turn, Refuse.of(error, dialect)).begin()
        else:
            turn.cut()

    def _tick(self) -> None:
        """One timer for all connections: a timer per request would cost more than the request's parsing."""
        now = self.now()
        for connection in tuple(self._connections):
            connection.tick(now)
        self.pool.sweep(now)
        self._ticker = self.loop.call_later(self._interval, self._tick)


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in FILES:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft >= limit:
            return
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return
