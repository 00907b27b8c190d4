"""Opening stages and ringing for them. A doorbell leaves after commit, by the outbox; it carries the stage's id only."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from forge_common.contracts.base import StageId, new_id, utc_now
from forge_common.contracts.runs import AttemptState
from forge_common.contracts.tasks import Doorbell, bell_for
from forge_registry.history import note
from forge_registry.models import Attempt, Run, Stage
from forge_registry.outbox import ring_after_commit
from forge_registry.pipeline import Step


def open_stage(session: Session, run: Run, step: Step) -> Stage:
    """The run's next stage, with its first attempt rung."""
    stage = Stage(
        id=new_id("stage"),
        run_id=run.id,
        kind=step.stage,
        position=step.position,
        queue=bell_for(step.stage, run.hardware).queue,
    )
    session.add(stage)
    session.flush()
    new_attempt(session, run, stage, number=1)
    return stage


def new_attempt(session: Session, run: Run, stage: Stage, *, number: int, delay_s: float = 0) -> None:
    """Ring for attempt `number`; with a delay, what made the last one fail may have come back by then."""
    stage.lease_until = stage.suspected_at = None
    rung_at = utc_now() + timedelta(seconds=delay_s)
    session.add(Attempt(stage_id=stage.id, number=number, state=AttemptState.RUNG, rung_at=rung_at))
    _ring(session, run, stage, delay_s)
    note(session, run, "stage.attempt", stage=stage.kind, message=f"rang {stage.queue}, attempt {number}")


def ring_again(session: Session, run: Run, stage: Stage, attempt: Attempt) -> None:
    """The bell was not followed: lost with the broker, or everybody is busy."""
    attempt.rung_at = utc_now()
    attempt.rings += 1
    _ring(session, run, stage)


def _ring(session: Session, run: Run, stage: Stage, delay_s: float = 0) -> None:
    bell = bell_for(stage.kind, run.hardware)
    ring_after_commit(session, bell, Doorbell(stage_id=StageId(stage.id)), delay_s=delay_s)
