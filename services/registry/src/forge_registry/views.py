"""Rows as the contracts that leave over HTTP."""

from __future__ import annotations

from sqlmodel import Session

from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.runs import (
    AttemptView,
    Pointer,
    Pointers,
    PromotionView,
    Provenance,
    RunEvent,
    RunView,
    StageView,
    VersionView,
)
from forge_registry import repository
from forge_registry.models import Attempt, Event, Promotion, Run, Stage, Version


def run_summary(run: Run) -> RunView:
    """Without stages and scorecard, for lists."""
    return RunView(
        id=RunId(run.id),
        domain=run.domain,
        kind=run.kind,
        state=run.state,
        hardware=run.hardware,
        created_at=run.created_at,
        ended_at=run.ended_at,
        dataset=run.dataset,
        version=run.version,
        opponent=run.opponent if run.incumbent is None else run.incumbent,
        verdict=run.verdict,
        error=run.error,
        fix=run.fix,
    )


def run_view(session: Session, run: Run) -> RunView:
    card = repository.scorecard(session, run.scorecard_id).scorecard if run.scorecard_id else None
    stages = tuple(stage_view(session, stage) for stage in repository.stages(session, run.id))
    return run_summary(run).model_copy(update={"stages": stages, "scorecard": card})


def stage_view(session: Session, stage: Stage) -> StageView:
    return StageView(
        id=StageId(stage.id),
        kind=stage.kind,
        queue=stage.queue,
        attempts=tuple(attempt_view(attempt) for attempt in repository.attempts(session, stage.id)),
        result=stage.result.model_dump(mode="json") if stage.result else None,
    )


def attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        state=attempt.state,
        worker=attempt.worker,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        error=attempt.error,
    )


def event_view(event: Event) -> RunEvent:
    assert event.seq is not None
    return RunEvent(
        seq=event.seq,
        run_id=RunId(event.run_id),
        at=event.at,
        event=event.event,
        state=event.state,
        stage=event.stage,
        message=event.message,
        step=event.step,
        of=event.of,
        eta_s=event.eta_s,
        metrics=event.metrics,
    )


def version_view(version: Version, live: int | None) -> VersionView:
    return VersionView(
        domain=version.domain,
        number=version.number,
        model=version.model,
        is_live=version.number == live,
        is_deployed=version.deployed_at is not None,
        created_at=version.created_at,
        run_id=RunId(version.run_id) if version.run_id else None,
        adapter=version.adapter,
        dataset=version.dataset,
        score=version.score,
        scorecard_id=version.scorecard_id,
    )


def provenance(session: Session, version: Version) -> Provenance:
    assert version.run_id is not None, "every version comes out of a run"
    run = repository.run(session, version.run_id)
    return Provenance(
        version=version_view(version, repository.live(session, version.domain)),
        document=run.document,
        base=run.base,
        base_gguf=version.base_gguf,
        adapter_gguf=version.adapter_gguf,
        fused_gguf=version.fused_gguf,
    )


def promotion_view(promotion: Promotion) -> PromotionView:
    assert promotion.id is not None
    return PromotionView(
        id=promotion.id,
        domain=promotion.domain,
        version=promotion.version,
        previous=promotion.previous,
        at=promotion.at,
        reason=promotion.reason,
        by=promotion.by,
        kind=promotion.kind,
    )


def pointers(session: Session) -> Pointers:
    """The revision is read first: a pointer that moves in between is seen now and waited for again, never missed."""
    revision = repository.installation(session).pointer_revision
    return Pointers(
        revision=revision,
        active=repository.active_domain(session),
        pointers=tuple(_pointer(session, row.id) for row in repository.domains(session)),
    )


def _pointer(session: Session, domain_id: str) -> Pointer:
    document = repository.domain(session, domain_id).document
    row = repository.pointer(session, domain_id)
    version = repository.version(session, domain_id, row.live) if row else None
    return Pointer(
        domain=domain_id,
        prefix=document.model_prefix,
        live=version.number if version else None,
        model=version.model if version else None,
        system_prompt=version.system_prompt if version else document.system_prompt,
        parameters=version.parameters if version else document.ollama.parameters(),
    )
