"""The gateway's one process: the proxy core in front, FastAPI beside it for what is answered here."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from forge_common.errors import CallerError, ForgeError
from forge_common.http.app import create_service
from forge_common.http.client import make_client
from forge_common.http.proxy import Dialect, Limits, ProxyServer, error_body
from forge_common.http.registry import RegistryClient
from forge_common.logging import configure
from forge_gateway.access import Access
from forge_gateway.endpoints import State, router
from forge_gateway.pointers import Board, Follower
from forge_gateway.routing import Routing
from forge_gateway.settings import Settings

ENGINE_LIST_S = 5.0


def create_server(settings: Settings) -> ProxyServer:
    """Raises KeysMissing for a bind address that others can reach while there are no keys."""
    settings.require_keys_beyond_loopback()
    board = Board(settings.pointers_file)
    access = Access(settings.keys())
    follower = Follower(
        RegistryClient(settings.registry_url, settings.key_text), board, wait_s=settings.pointer_wait_s
    )
    engine = make_client(settings.engine_url, timeout_s=ENGINE_LIST_S)
    routing = Routing(
        board=board, access=access, engine_url=settings.engine_url, max_body_bytes=settings.max_body_bytes
    )
    app = create_app(State(board=board, follower=follower, access=access, engine=engine))
    return ProxyServer(routing, asgi_app=app, limits=Limits(body_bytes=settings.max_body_bytes))


def create_app(state: State) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.follower.start()
        yield
        state.follower.stop()

    app = create_service("gateway", [router], lifespan=lifespan)
    app.state.gateway = state
    # The clients of this service are OpenAI's: they look for its error shape, not for problem details.
    app.add_exception_handler(ForgeError, _render)
    app.add_exception_handler(HTTPException, _render_http_exception)
    app.add_exception_handler(RequestValidationError, _render_validation_error)
    return app


def main() -> None:
    settings = Settings()
    configure("gateway", settings)
    try:
        create_server(settings).run(settings.bind, settings.port)
    except ForgeError as error:
        sys.exit(f"forge-gateway: {error}")
    except OSError as error:
        sys.exit(f"forge-gateway: cannot listen on {settings.bind}:{settings.port}: {error}")


def _render(_: Request, error: Exception) -> Response:
    assert isinstance(error, ForgeError)
    return Response(
        error_body(error, Dialect.OPENAI), status_code=error.status, media_type="application/json"
    )


def _render_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}: {error.detail}"
    return _render(request, CallerError(what, code="not_found", status=error.status_code))


def _render_validation_error(request: Request, error: Exception) -> Response:
    return _render(request, CallerError(str(error), code="invalid_request", status=400))
