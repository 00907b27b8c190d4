"""The app factory of the control plane: problem details, request ids, health, metrics.

Errors leave as RFC 9457 problem details. No endpoint raises HTTPException; it raises a ForgeError.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forge_common.errors import ForgeError
from forge_common.logging import get_logger

log = get_logger()
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


def create_service(
    name: str,
    routers: Iterable[APIRouter],
    *,
    lifespan: Lifespan | None = None,
    checks: Mapping[str, Callable[[], None]] | None = None,
) -> FastAPI:
    """A FastAPI app with everything that all services have in common.

    `checks` are what `/health` calls, by name; each raises when its dependency is away, and health is then 503.
    """
    # FastAPI's own pages of documentation run scripts from a CDN, in the origin that keys are typed for.
    app = FastAPI(title=f"Forge {name}", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestId)
    app.add_exception_handler(ForgeError, _render_forge_error)
    app.add_exception_handler(RequestValidationError, _render_validation_error)
    app.add_exception_handler(HTTPException, _render_http_exception)
    app.add_exception_handler(Exception, _render_bug)
    for router in routers:
        app.include_router(router)
    app.include_router(_operations(name, checks or {}))
    return app


def problem(status: int, code: str, detail: str, fix: str | None = None, **more: Any) -> JSONResponse:
    """An RFC 9457 problem document; `code` and `fix` are our extension members."""
    body = {"type": f"urn:forge:{code}", "title": code.replace("_", " "), "status": status, "detail": detail}
    body |= {"code": code, "fix": fix} | more
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


class RequestId:
    """Pure ASGI: takes or makes `x-request-id`, binds it for the logs, returns it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if given.isalnum() and len(given) <= 64 else secrets.token_hex(8)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send_with_id)


def _operations(name: str, checks: Mapping[str, Callable[[], None]]) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health")
    def health() -> Response:
        failed = {check: reason for check, run in checks.items() if (reason := _failure(run))}
        body = {"service": name, "status": "degraded" if failed else "ok", "failed": failed}
        return JSONResponse(body, status_code=503 if failed else 200)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _failure(check: Callable[[], None]) -> str | None:
    try:
        check()
    except Exception as error:  # noqa: BLE001  any failure of a check is its answer
        return f"{type(error).__name__}: {error}"
    return None


def _render_forge_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ForgeError)
    if error.status >= 500:
        log.warning("request.refused", code=error.code, detail=error.message)
    return problem(error.status, error.code, error.message, error.fix)


def _render_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"at": ".".join(str(part) for part in e["loc"]), "what": e["msg"]} for e in error.errors()]
    detail = "; ".join(f"{e['at']}: {e['what']}" for e in errors[:5])
    return problem(
        422, "invalid_request", detail, "mend the named fields; the schema is at /openapi.json", errors=errors
    )


def _render_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(404, "not_found", str(error.detail), fix="/openapi.json lists what there is")
    return problem(error.status_code, "http_error", str(error.detail))


def _render_bug(request: Request, error: Exception) -> Response:
    log.error("request.crashed", path=request.url.path, exc_info=error)
    return problem(500, "bug", "the service failed; its log has the traceback under this request's id")
