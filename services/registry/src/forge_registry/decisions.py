"""Carrying out what the gate decided: preflight first, outside any transaction, then the pointer and the run in one.

A run waits in `deciding` until this has happened; whoever is killed in between leaves it to the next sweep.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine as Database
from sqlmodel import Session

from forge_common.contracts.base import utc_now
from forge_common.contracts.runs import RunState
from forge_common.contracts.stages import StageFailure
from forge_common.db.session import session_scope
from forge_common.errors import ForgeError
from forge_common.logging import get_logger
from forge_registry import pipeline, promotions, repository, runs
from forge_registry.history import to_state
from forge_registry.models import Run
from forge_registry.preflight import Preflight

log = get_logger()


def decide_all(database: Database, preflight: Preflight, patience_s: float) -> None:
    with session_scope(database) as session:
        waiting = [run.id for run in repository.runs_in(session, RunState.DECIDING)]
    for run_id in waiting:
        decide(database, preflight, run_id, patience_s)


def decide(database: Database, preflight: Preflight, run_id: str, patience_s: float) -> None:
    """Promote the run's version, or say why not. Doing it twice is doing it once."""
    with session_scope(database) as session:
        run = repository.run(session, run_id)
        assert run.version is not None
        version = repository.version(session, run.domain, run.version)
    try:
        preflight(version)
    except ForgeError as error:
        if error.retryable and utc_now() - run.state_at < timedelta(seconds=patience_s):
            log.warning("preflight.postponed", run_id=run_id, reason=str(error))
        else:
            _fail(database, run_id, error)
    else:
        with session_scope(database) as session:
            _conclude(session, repository.lock_run(session, run_id))


def _conclude(session: Session, run: Run) -> None:
    if run.state is not RunState.DECIDING:
        return
    repository.domain(session, run.domain, lock=True)
    assert run.version is not None
    decision = pipeline.decide(
        run.kind,
        run.verdict,
        judged_against=run.incumbent,
        live=repository.live(session, run.domain),
    )
    if not decision.promote:
        runs.keep(session, run, decision.reason)
        return
    promotions.push(
        session, run.domain, run.version, reason=decision.reason, by="gate", kind="gate", run_id=run.id
    )
    to_state(session, run, RunState.PROMOTED, decision.reason)


def _fail(database: Database, run_id: str, error: ForgeError) -> None:
    fix = error.fix or f"`forge runs retry {run_id}` deploys it again"
    failure = StageFailure(code=error.code, message=f"not promoted: {error.message}", fix=fix)
    with session_scope(database) as session:
        run = repository.lock_run(session, run_id)
        if run.state is RunState.DECIDING:
            runs.fail(session, run, failure)
