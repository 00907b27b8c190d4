"""One port: the traffic, and below /forge our own API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from forge_collector.collector import Collector
from forge_collector.endpoints import router
from forge_collector.routing import OWN_API
from forge_collector.settings import Settings
from forge_common.http.app import create_service
from forge_common.http.proxy import ProxyServer


def create_app(collector: Collector) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        collector.start()
        yield
        await collector.recorder.settled()
        await asyncio.to_thread(collector.stop)

    app = create_service(
        "collector", [router], lifespan=lifespan, checks={"postgres": collector.check_postgres}
    )
    app.root_path = OWN_API
    app.state.collector, app.state.database = collector, collector.engine
    return app


def create_server(settings: Settings) -> ProxyServer:
    """The whole data plane and API. Raises SpoolInUse when another collector runs on the same home."""
    collector = Collector(settings)
    return ProxyServer(collector.router, asgi_app=create_app(collector))
