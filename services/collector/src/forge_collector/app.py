"""One port: the traffic, and below /forge our own API. Traffic passes as soon as it can; the API takes longer to load."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING

from forge_collector.data_plane import DataPlane
from forge_collector.routing import OWN_API
from forge_collector.settings import Settings
from forge_common.http.proxy import ProxyServer
from forge_common.logging import get_logger

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from forge_collector.collector import Collector

log = get_logger()


def serve(settings: Settings) -> None:
    """The whole data plane and API, until a signal. Raises SpoolInUse when another collector runs on the same home."""
    # All that is loaded stays for ever: nothing of it is garbage, and a start has no time to look.
    gc.disable()
    plane = DataPlane(settings)
    api = Api(plane)
    ProxyServer(plane.router, asgi_app=api).run(settings.host, settings.port)
    if api.failure is not None:
        raise api.failure


def create_app(collector: Collector) -> FastAPI:
    from forge_collector.endpoints import router
    from forge_common.http.app import create_service

    app = create_service("collector", [router], checks={"postgres": collector.check_postgres})
    app.root_path = OWN_API
    app.state.collector, app.state.database = collector, collector.engine
    return app


class Api:
    """An ASGI app that is loaded in a thread while traffic passes; who asks it meanwhile is answered when it is there."""

    def __init__(self, plane: DataPlane) -> None:
        self.failure: Exception | None = None
        """Why it could not be loaded; the process ends then."""
        self._plane = plane
        self._loading: asyncio.Task[tuple[Collector, FastAPI]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        _, app = await asyncio.shield(self._loading)
        await app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._plane.start()
        self._loading = asyncio.create_task(self._load())
        self._loading.add_done_callback(self._loaded)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._plane.recorder.settled()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _load(self) -> tuple[Collector, FastAPI]:
        collector, app = await asyncio.to_thread(_load, self._plane)
        collector.start()
        return collector, app

    def _loaded(self, loading: asyncio.Task[tuple[Collector, FastAPI]]) -> None:
        gc.freeze()
        gc.enable()
        error = None if loading.cancelled() else loading.exception()
        if isinstance(error, Exception):
            # Exchanges would fill the spool in silence.
            log.error("api.failed", reason=repr(error))
            self.failure = error
            signal.raise_signal(signal.SIGTERM)

    async def _stop(self) -> None:
        await asyncio.wait([self._loading])
        if self.failure is None:
            await asyncio.to_thread(self._loading.result()[0].stop)
        else:
            self._plane.stop()
            self._plane.spool.close()


def _load(plane: DataPlane) -> tuple[Collector, FastAPI]:
    from forge_collector.collector import Collector

    collector = Collector(plane)
    return collector, create_app(collector)
