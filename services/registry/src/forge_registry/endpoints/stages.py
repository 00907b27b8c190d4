"""The workers' side: say hello, claim a stage, keep it alive, deliver."""

from __future__ import annotations

from fastapi import APIRouter

from forge_common.contracts.base import utc_now
from forge_common.contracts.stages import (
    ClaimRequest,
    Heartbeat,
    HeartbeatReply,
    StageClaim,
    StageDelivery,
)
from forge_common.contracts.workers import WorkerHello, WorkerView, WorkerWelcome
from forge_common.db.request import SessionDep
from forge_registry import stages, workers
from forge_registry.auth import Reader, WorkerCaller
from forge_registry.endpoints.dependencies import EVERYWHERE, ContextDep, refuses
from forge_registry.errors import (
    ArtifactNotUploaded,
    StageFinished,
    StageTaken,
    StageUnknown,
    StaleToken,
    WrongResult,
)
from forge_registry.models import Worker

router = APIRouter(prefix="/v1", tags=["workers"], responses=EVERYWHERE)


@router.post("/workers")
def say_hello(hello: WorkerHello, _: WorkerCaller, context: ContextDep, session: SessionDep) -> WorkerWelcome:
    """Join, and stay alive by saying it again every `beat_s` seconds. The broker's address comes back."""
    session.merge(Worker(**hello.model_dump(mode="json"), last_seen=utc_now()))
    settings = context.settings
    return WorkerWelcome(
        broker_url=settings.broker_url, beat_s=settings.hello_s, tls_broker_url=settings.tls_broker_url
    )


@router.get("/workers")
def list_workers(_: Reader, context: ContextDep, session: SessionDep) -> list[WorkerView]:
    return workers.views(session, context.settings.worker_ttl_s)


@router.post("/stages/{stage}/claim", responses=refuses(StageUnknown, StageTaken, StageFinished))
def claim(
    stage: str, request: ClaimRequest, _: WorkerCaller, context: ContextDep, session: SessionDep
) -> StageClaim:
    """Take the stage; the reply carries the work and the fencing token."""
    return stages.claim(session, stage, request, context.settings)


@router.post("/stages/{stage}/heartbeat", responses=refuses(StageUnknown, StaleToken))
def heartbeat(
    stage: str, beat: Heartbeat, _: WorkerCaller, context: ContextDep, session: SessionDep
) -> HeartbeatReply:
    return stages.heartbeat(session, stage, beat, context.settings)


@router.post(
    "/stages/{stage}/result",
    status_code=204,
    responses=refuses(StageUnknown, StaleToken, WrongResult, ArtifactNotUploaded),
)
def deliver(
    stage: str, delivery: StageDelivery, _: WorkerCaller, context: ContextDep, session: SessionDep
) -> None:
    """Deliver a result or a failure, once or many times."""
    stages.deliver(session, stage, delivery, context.store, context.settings)
