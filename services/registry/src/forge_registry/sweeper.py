"""Takes care of what fell silent: expired leases, unheard doorbells, stuck outbox rows, runs that wait for a decision.

Sweeping twice does no harm: every change is made again under the run's lock, from what is there then. Of several at once
all but one leave again, so that an engine that hangs holds up one worker's thread and not all of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine as Database
from sqlmodel import Session, col, select

from forge_common.contracts.base import utc_now
from forge_common.contracts.runs import AttemptState
from forge_common.db.session import session_scope, try_lock
from forge_common.logging import get_logger
from forge_registry import repository, stages, workers
from forge_registry.bells import ring_again
from forge_registry.context import Context
from forge_registry.decisions import decide_all
from forge_registry.models import Attempt, OutboxKind, Stage
from forge_registry.outbox import flush, forget_sent
from forge_registry.pulse import has_listened
from forge_registry.settings import Settings

log = get_logger()


def sweep(context: Context) -> None:
    """One round, unless one is under way."""
    with try_lock(context.database, "registry.sweep") as is_alone:
        if is_alone:
            _sweep(context)


def _sweep(context: Context) -> None:
    take_over(context.database, context.settings)
    ring_unheard(context.database, context.settings)
    flush(context.database, OutboxKind.BELL, context.ring)
    decide_all(context.database, context.preflight, context.settings.preflight_patience_s)
    flush(context.database, OutboxKind.ALIAS, context.follow)
    with session_scope(context.database) as session:
        forget_sent(session)
        workers.forget_silent(session, context.settings.worker_keep_days)


def take_over(database: Database, settings: Settings) -> None:
    """Take stages away from workers whose lease expired while the registry could have heard them.

    After an outage of the registry or of Postgres, or a sleep of the whole machine, every lease has expired, and a
    worker that is still there shall not lose hours of training for it. Looks twice, with more than a heartbeat in
    between, for the sake of a few heartbeats that failed on the way.
    """
    with session_scope(database) as session:
        if not has_listened(session, settings.lease_s):
            return
    for stage_id in _expired(database):
        with session_scope(database) as session:
            _suspect_or_lose(session, stage_id, settings)


def ring_unheard(database: Database, settings: Settings) -> None:
    """Ring again for stages that nobody has claimed."""
    with session_scope(database) as session:
        since = utc_now() - timedelta(seconds=settings.ring_again_s)
        query = select(Attempt).where(col(Attempt.state) == AttemptState.RUNG, col(Attempt.rung_at) <= since)
        unheard = [a.stage_id for a in session.exec(query).all() if _is_overdue(a, settings, utc_now())]
    for stage_id in unheard:
        with session_scope(database) as session:
            run, stage, attempt = repository.lock_stage(session, stage_id)
            if attempt.state is AttemptState.RUNG and _is_overdue(attempt, settings, utc_now()):
                ring_again(session, run, stage, attempt)
                log.info("bell.rung_again", run_id=run.id, queue=stage.queue, rings=attempt.rings)


def _is_overdue(attempt: Attempt, settings: Settings, now: datetime) -> bool:
    pause_s = min(settings.ring_again_s * 2 ** (attempt.rings - 1), settings.ring_again_max_s)
    return attempt.rung_at + timedelta(seconds=pause_s) <= now


def _expired(database: Database) -> list[str]:
    with session_scope(database) as session:
        query = select(Attempt.stage_id).join(Stage, col(Stage.id) == col(Attempt.stage_id))
        query = query.where(col(Attempt.state) == AttemptState.CLAIMED, col(Stage.lease_until) < utc_now())
        return list(session.exec(query).all())


def _suspect_or_lose(session: Session, stage_id: str, settings: Settings) -> None:
    now = utc_now()
    held = repository.lock_stage(session, stage_id)
    run, stage, attempt = held
    if attempt.state is not AttemptState.CLAIMED or stage.lease_until is None or stage.lease_until >= now:
        return
    if stage.suspected_at is None:
        stage.suspected_at = now
    elif now - stage.suspected_at >= timedelta(seconds=settings.lease_s / 2):
        log.warning("stage.lost", run_id=run.id, stage=stage.kind, worker=attempt.worker)
        stages.lose(session, held, settings)
