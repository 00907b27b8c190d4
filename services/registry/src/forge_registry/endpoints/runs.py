"""Runs: start, list, show, cancel, retry, and watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from forge_common.artifacts import ArtifactMissing
from forge_common.contracts.runs import RunEvent, RunRequest, RunView
from forge_common.db.request import SessionDep
from forge_common.db.session import session_scope
from forge_registry import repository, runs
from forge_registry.auth import Admin, Reader
from forge_registry.context import Context
from forge_registry.endpoints.dependencies import (
    EVERYWHERE,
    ContextDep,
    ListenerDep,
    Responses,
    refuses,
)
from forge_registry.errors import (
    DomainUnknown,
    NothingToJudge,
    NoTrainerAlive,
    RunAlreadyActive,
    RunFinished,
    RunNotFinished,
    RunUnknown,
    VersionNotDeployed,
    VersionUnknown,
)
from forge_registry.history import run_topic
from forge_registry.listener import Listener
from forge_registry.views import event_view, run_summary, run_view

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=EVERYWHERE)


@router.post(
    "",
    status_code=202,
    responses=refuses(
        DomainUnknown,
        ArtifactMissing,
        VersionUnknown,
        RunAlreadyActive,
        NoTrainerAlive,
        NothingToJudge,
        VersionNotDeployed,
    ),
)
def start_run(request: RunRequest, who: Admin, context: ContextDep, session: SessionDep) -> RunView:
    """Start a run: one at a time per domain. The same `idempotency_key` again returns the same run."""
    for artifact in (request.dataset, request.benchmark):
        if artifact is not None:
            context.store.path(artifact)
    run = runs.start(session, request, by=who.name, worker_ttl_s=context.settings.worker_ttl_s)
    return run_view(session, run)


@router.get("")
def list_runs(
    _: Reader,
    session: SessionDep,
    domain: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[RunView]:
    """Newest first, without stages."""
    return [run_summary(run) for run in repository.runs(session, domain, limit)]


@router.get("/{run}", responses=refuses(RunUnknown))
def show_run(run: str, _: Reader, session: SessionDep) -> RunView:
    return run_view(session, repository.run(session, run))


@router.post("/{run}/cancel", responses=refuses(RunUnknown, RunFinished))
def cancel_run(run: str, who: Admin, session: SessionDep) -> RunView:
    return run_view(session, runs.cancel(session, run, by=who.name))


@router.post(
    "/{run}/retry",
    status_code=202,
    responses=refuses(RunUnknown, RunFinished, RunNotFinished, RunAlreadyActive),
)
def retry_run(run: str, who: Admin, session: SessionDep) -> RunView:
    """A new run in place of a failed or cancelled one; what was prepared and trained is used again."""
    return run_view(session, runs.retry(session, run, by=who.name))


EVENT_STREAM: Responses = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "`id` is a RunEvent's `seq`, `data` the RunEvent",
    }
}


@router.get("/{run}/events", response_class=StreamingResponse, responses=EVENT_STREAM | refuses(RunUnknown))
def stream_events(
    run: str,
    _: Reader,
    context: ContextDep,
    listener: ListenerDep,
    after: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[int | None, Header()] = None,
) -> StreamingResponse:
    """The run's history from `after` (or `Last-Event-ID`) on, then live; the stream ends with the run."""
    with session_scope(context.database) as session:
        repository.run(session, run)
    start = max(after, last_event_id or 0)
    return StreamingResponse(
        _events(context, listener, run, start),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(context: Context, listener: Listener, run: str, after: int) -> AsyncIterator[str]:
    with listener.watch_async(run_topic(run)) as news:
        while True:
            news.clear()
            events, ended = await run_in_threadpool(_read, context, run, after)
            for event in events:
                after = event.seq
                yield f"id: {event.seq}\ndata: {event.model_dump_json()}\n\n"
            if ended:
                return
            try:
                await asyncio.wait_for(news.wait(), context.settings.ping_s)
            except TimeoutError:
                yield ": still going\n\n"


def _read(context: Context, run: str, after: int) -> tuple[list[RunEvent], bool]:
    """New events, and whether there will be no more. The state is read first, so that none can slip in between."""
    with session_scope(context.database) as session:
        ended = repository.run(session, run).state.is_final
        return [event_view(event) for event in repository.events(session, run, after)], ended
