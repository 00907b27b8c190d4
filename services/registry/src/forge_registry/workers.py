"""The workers that are known, each with the stage that it holds. What a worker is doing is read from the runs, not believed."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session, col, delete, select

from forge_common.contracts.base import RunId, utc_now
from forge_common.contracts.runs import AttemptState
from forge_common.contracts.stages import StageKind, TrainResult
from forge_common.contracts.workers import WorkerJob, WorkerView
from forge_registry import repository
from forge_registry.models import Attempt, Event, Run, Stage, Worker


def views(session: Session, ttl_s: float) -> list[WorkerView]:
    return [_view(session, worker, ttl_s) for worker in repository.workers(session)]


def forget_silent(session: Session, keep_days: float) -> None:
    """Rows of machines that have not been heard of for so long. One that comes back says hello again."""
    since = utc_now() - timedelta(days=keep_days)
    session.execute(delete(Worker).where(col(Worker.last_seen) < since))


def _view(session: Session, worker: Worker, ttl_s: float) -> WorkerView:
    held = _held(session, worker.name)
    progress = _newest_progress(session, *held) if held else None
    return WorkerView(
        name=worker.name,
        service=worker.service,
        queues=tuple(worker.queues),
        device=worker.device,
        is_alive=(utc_now() - worker.last_seen).total_seconds() <= ttl_s,
        last_seen=worker.last_seen,
        memory_bytes=worker.memory_bytes,
        memory_used_bytes=worker.memory_used_bytes,
        versions=worker.versions,
        tokens_per_s=_speed(session, worker.name, progress),
        job=_job(*held, progress) if held else None,
    )


def _held(session: Session, worker: str) -> tuple[Run, Stage, Attempt] | None:
    """A worker works on one stage at a time; of several that it let go of without a word, the newest."""
    query = (
        select(Run, Stage, Attempt)
        .join(Stage, col(Stage.run_id) == col(Run.id))
        .join(Attempt, col(Attempt.stage_id) == col(Stage.id))
        .where(col(Attempt.state) == AttemptState.CLAIMED, col(Attempt.worker) == worker)
    )
    found = session.exec(query.order_by(col(Attempt.started_at).desc()).limit(1)).one_or_none()
    return None if found is None else (found[0], found[1], found[2])


def _newest_progress(session: Session, run: Run, stage: Stage, attempt: Attempt) -> Event | None:
    query = select(Event).where(
        col(Event.run_id) == run.id,
        col(Event.event) == "stage.progress",
        col(Event.stage) == stage.kind,
        col(Event.at) >= attempt.started_at,
    )
    return session.exec(query.order_by(col(Event.seq).desc()).limit(1)).one_or_none()


def _job(run: Run, stage: Stage, attempt: Attempt, progress: Event | None) -> WorkerJob:
    job = WorkerJob(
        run_id=RunId(run.id), domain=run.domain, stage=stage.kind, since=attempt.started_at or attempt.rung_at
    )
    if progress is None:
        return job
    facts = {name: getattr(progress, name) for name in ("message", "step", "of", "eta_s")}
    return job.model_copy(update=facts)


def _speed(session: Session, worker: str, progress: Event | None) -> float | None:
    if progress is not None and "tokens_per_s" in progress.metrics:
        return progress.metrics["tokens_per_s"]
    query = (
        select(Stage)
        .join(Attempt, col(Attempt.stage_id) == col(Stage.id))
        .where(
            col(Stage.kind) == StageKind.TRAIN,
            col(Attempt.state) == AttemptState.DONE,
            col(Attempt.worker) == worker,
        )
    )
    last = session.exec(query.order_by(col(Attempt.ended_at).desc()).limit(1)).one_or_none()
    result = last.result if last else None
    return result.tokens / result.seconds if isinstance(result, TrainResult) and result.seconds > 0 else None
