"""Versions, pointers, promotions, scorecards."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from forge_common.contracts.runs import (
    Pointers,
    PromoteRequest,
    PromotionView,
    Provenance,
    RollbackRequest,
    VersionView,
)
from forge_common.contracts.scorecard import Scorecard
from forge_common.db.request import SessionDep
from forge_common.db.session import session_scope
from forge_common.errors import DependencyDown
from forge_registry import promotions, repository, views
from forge_registry.auth import Admin, Reader
from forge_registry.context import Context
from forge_registry.endpoints.dependencies import EVERYWHERE, ContextDep, ListenerDep, refuses
from forge_registry.errors import (
    DomainUnknown,
    NothingBelow,
    PreflightRefused,
    ScorecardUnknown,
    VersionNotDeployed,
    VersionUnknown,
)

router = APIRouter(prefix="/v1", tags=["versions"], responses=EVERYWHERE)


@router.get("/domains/{domain}/versions", responses=refuses(DomainUnknown))
def list_versions(domain: str, _: Reader, session: SessionDep) -> list[VersionView]:
    """Newest first."""
    repository.domain(session, domain)
    live = repository.live(session, domain)
    return [views.version_view(version, live) for version in repository.versions(session, domain)]


@router.get("/domains/{domain}/versions/{number}", responses=refuses(DomainUnknown, VersionUnknown))
def show_version(domain: str, number: int, _: Reader, session: SessionDep) -> Provenance:
    """What the version was made of."""
    return views.provenance(session, repository.version(session, domain, number))


@router.get("/domains/{domain}/promotions", responses=refuses(DomainUnknown))
def list_promotions(domain: str, _: Reader, session: SessionDep) -> list[PromotionView]:
    """Newest first."""
    repository.domain(session, domain)
    return [views.promotion_view(row) for row in repository.promotions(session, domain)]


@router.post(
    "/domains/{domain}/promote",
    responses=refuses(DomainUnknown, VersionUnknown, VersionNotDeployed, PreflightRefused, DependencyDown),
)
def promote(domain: str, request: PromoteRequest, who: Admin, context: ContextDep) -> PromotionView:
    """Make a version live by hand. It is asked a known prompt first, and refused if it does not answer.

    One that the engine has lost is deployed again before that, which may take minutes; also the one that is live.
    """
    return promotions.promote(context.database, context.make_ready, domain, request, who.name)


@router.post(
    "/domains/{domain}/rollback",
    responses=refuses(DomainUnknown, NothingBelow, promotions.PointerMoved, PreflightRefused, DependencyDown),
)
def roll_back(domain: str, request: RollbackRequest, who: Admin, context: ContextDep) -> PromotionView:
    """Go back to what was live before the present version, or further back to `to`."""
    return promotions.roll_back(context.database, context.make_ready, domain, request, who.name)


@router.get("/pointers")
async def show_pointers(
    _: Reader,
    context: ContextDep,
    listener: ListenerDep,
    after: int | None = None,
    wait_s: Annotated[float, Query(ge=0, le=300)] = 0,
) -> Pointers:
    """Where every domain's `:latest` points. With `after`, waits until the revision is another one."""
    deadline = asyncio.get_running_loop().time() + wait_s
    with listener.watch_async(promotions.POINTERS_TOPIC) as news:
        while True:
            news.clear()
            pointers = await run_in_threadpool(_read, context)
            left = deadline - asyncio.get_running_loop().time()
            if after is None or pointers.revision != after or left <= 0:
                return pointers
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                return pointers


@router.get("/scorecards/{scorecard}", responses=refuses(ScorecardUnknown))
def show_scorecard(scorecard: str, _: Reader, session: SessionDep) -> Scorecard:
    return repository.scorecard(session, scorecard).scorecard


def _read(context: Context) -> Pointers:
    with session_scope(context.database) as session:
        return views.pointers(session)
