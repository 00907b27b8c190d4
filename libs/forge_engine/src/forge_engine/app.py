"""The engine's HTTP app. Run it with one process: `uvicorn --factory forge_engine.app:create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from forge_common.errors import ForgeError
from forge_common.logging import configure, get_logger
from forge_engine import endpoints, inference, openai
from forge_engine.errors import native_body, openai_body
from forge_engine.library import Library
from forge_engine.pool import Pool
from forge_engine.replies import JsonReply
from forge_engine.settings import Settings
from forge_engine.store import ModelStore

log = get_logger()
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def create_app(settings: Settings | None = None) -> Starlette:
    settings = settings or Settings()
    configure("engine", settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        store, pool = ModelStore(settings.store_folder), Pool(settings)
        app.state.library = Library(settings, store, pool)
        log.info("engine.started", store=str(store.root), memory_bytes=int(settings.memory_bytes))
        try:
            yield
        finally:
            await pool.close()
            store.close()

    app = Starlette(routes=[*endpoints.routes, *inference.routes, *openai.routes], lifespan=lifespan)
    app.add_exception_handler(ForgeError, _refused)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(Exception, _crashed)
    app.add_middleware(NoForeignPages)
    return app


class NoForeignPages:
    """Pure ASGI: a web page from elsewhere may not use, change or delete the user's models."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            origin = dict(scope["headers"]).get(b"origin")
            if origin and urlsplit(origin.decode("latin-1")).hostname not in LOOPBACK:
                await PlainTextResponse("403 forbidden origin", 403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForgeError)
    if error.status >= 500:
        log.warning("request.failed", path=request.url.path, code=error.code, detail=error.message)
    return _error_reply(request, error)


async def _no_such_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {404: "404 page not found", 405: "405 method not allowed"}
    return PlainTextResponse(
        texts.get(error.status_code, error.detail), error.status_code, headers=error.headers
    )


async def _crashed(request: Request, error: Exception) -> Response:
    log.error("request.crashed", path=request.url.path, exc_info=error)
    return _error_reply(request, ForgeError("the engine failed; its log says why"))


def _error_reply(request: Request, error: ForgeError) -> Response:
    is_openai = request.url.path.startswith("/v1/")
    return JsonReply(openai_body(error) if is_openai else native_body(error), error.status)
