"""What the gateway answers itself: health, domains, models."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import httpx2
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from forge_common.contracts.base import Contract
from forge_gateway.access import Access
from forge_gateway.pointers import Board, Follower

router = APIRouter()


@dataclass
class State:
    """What the endpoints look at."""

    board: Board
    follower: Follower
    access: Access
    engine: httpx2.Client
    started: float = field(default_factory=time.monotonic)


class Health(Contract):
    service: str = "gateway"
    status: str
    engine: str
    registry: str
    revision: int
    auth_required: bool
    uptime_s: int


class DomainView(Contract):
    id: str
    model: str
    """The name that follows the live version."""
    live: str | None
    version: int | None


class DomainList(Contract):
    object: str = "list"
    data: tuple[DomainView, ...]


class ModelView(Contract):
    """As OpenAI lists models. `root` is the version behind a name that moves."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "forge"
    root: str


class ModelList(Contract):
    object: str = "list"
    data: tuple[ModelView, ...]


def _state(request: Request) -> State:
    state: State = request.app.state.gateway
    return state


@router.get("/health", response_model=Health)
def health(request: Request) -> JSONResponse:
    """503 only when nothing can be answered: without the engine. Without the registry the last pointers serve on."""
    state = _state(request)
    engine = _engine_models(state.engine) is not None
    follows = state.follower.is_following
    view = Health(
        status="ok" if engine and follows else "degraded",
        engine="ok" if engine else "away",
        registry="ok" if follows else "away",
        revision=state.board.catalogue.revision,
        auth_required=state.access.needs_key,
        uptime_s=int(time.monotonic() - state.started),
    )
    return JSONResponse(view.model_dump(), status_code=200 if engine else 503)


@router.get("/v1/domains")
def domains(request: Request) -> DomainList:
    pointers = _state(request).board.catalogue.pointers
    return DomainList(
        data=tuple(
            DomainView(id=each.domain, model=f"{each.prefix}:latest", live=each.model, version=each.live)
            for each in pointers
        )
    )


@router.get("/v1/models")
def models(request: Request) -> ModelList:
    """What may be asked for: each domain's moving name, and every version of ours that the engine holds."""
    state = _state(request)
    catalogue = state.board.catalogue
    deployed = _engine_models(state.engine) or {}
    moving = [
        ModelView(id=f"{each.prefix}:latest", created=deployed.get(each.model, 0), root=each.model)
        for each in catalogue.pointers
        if each.model
    ]
    fixed = [
        ModelView(id=name, created=created, root=name)
        for name, created in sorted(deployed.items())
        if catalogue.owns(name)
    ]
    return ModelList(data=(*moving, *fixed))


@router.get("/v1/models/{name:path}")
def model(name: str, request: Request) -> ModelView:
    """Raises ModelNotFound."""
    catalogue = _state(request).board.catalogue
    root = catalogue.resolve(name)
    deployed = _engine_models(_state(request).engine)
    if deployed is not None and root not in deployed:
        raise catalogue.not_found(name)
    return ModelView(id=name, created=(deployed or {}).get(root, 0), root=root)


def _engine_models(engine: httpx2.Client) -> dict[str, int] | None:
    """Names and times of creation; None when the engine does not answer. An Ollama without models lists null."""
    try:
        reply = engine.get("/v1/models")
        listed = reply.raise_for_status().json()["data"] or []
        return {str(each["id"]): int(each.get("created", 0)) for each in listed}
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return None
