"""The registry's HTTP app: `uvicorn --factory forge_registry.app:create_app`. The schema must be migrated already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from forge_common.http.app import create_service
from forge_common.logging import configure
from forge_registry.context import Context
from forge_registry.endpoints import artifacts, datasets, domains, keys, runs, stages, trust, versions
from forge_registry.leftovers import remove_leftovers
from forge_registry.listener import Listener
from forge_registry.models import OutboxKind
from forge_registry.outbox import OUTBOX_TOPIC, Courier
from forge_registry.pulse import Pulse
from forge_registry.seed import plant
from forge_registry.settings import Settings

ROUTERS = tuple(
    module.router for module in (domains, runs, stages, versions, artifacts, datasets, keys, trust)
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Raises InstallationKeyMissing."""
    settings = settings or Settings()
    assert settings.installation_key
    configure("registry", settings)
    context = Context(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(plant, context.database)
        await run_in_threadpool(remove_leftovers, context.store.root)
        with ExitStack() as stack:
            app.state.listener = _start(context, stack)
            yield
        context.database.dispose()

    app = create_service("registry", ROUTERS, lifespan=lifespan, checks={"postgres": context.check_database})
    app.state.context, app.state.database = context, context.database
    return app


def _start(context: Context, stack: ExitStack) -> Listener:
    """The pulse, the listener, and the couriers that it wakes."""
    pulse = Pulse(context.database, context.settings.lease_s)
    pulse.start()
    stack.callback(pulse.stop)
    listener = Listener(context.settings.database_url)
    senders = {OutboxKind.BELL: context.ring, OutboxKind.ALIAS: context.follow}
    for kind, send in senders.items():
        courier = Courier(context.database, kind, send)
        stack.callback(courier.stop)
        stack.enter_context(listener.watch(OUTBOX_TOPIC, courier.wake))
        courier.start()
    listener.start()
    stack.callback(listener.stop)
    return listener
