"""A run's history: every change of state goes through here, is checked against the state machine, and wakes its watchers."""

from __future__ import annotations

from sqlmodel import Session

from forge_common.contracts.base import utc_now
from forge_common.contracts.runs import RunState
from forge_common.contracts.stages import Progress, StageKind
from forge_common.logging import get_logger
from forge_registry import pipeline
from forge_registry.models import Event, Run
from forge_registry.outbox import notify

log = get_logger()


def run_topic(run_id: str) -> str:
    return f"run:{run_id}"


def to_state(session: Session, run: Run, state: RunState, message: str = "") -> None:
    """Raises ImpossibleTransition. The caller holds the run's lock."""
    pipeline.check_transition(run.id, run.state, state)
    now = utc_now()
    run.state, run.state_at = state, now
    if state.is_final:
        run.ended_at = now
    note(session, run, "run.state", message=message)
    log.info("run.moved", run_id=run.id, domain=run.domain, state=state, reason=message or None)


def note(
    session: Session,
    run: Run,
    event: str,
    *,
    stage: StageKind | None = None,
    message: str = "",
    progress: Progress | None = None,
) -> None:
    """Append one line. The caller holds the run's lock, which keeps `seq` in commit order."""
    shown = progress or Progress(message=message)
    session.add(
        Event(
            run_id=run.id,
            at=utc_now(),
            event=event,
            state=run.state,
            stage=stage,
            message=shown.message,
            step=shown.step,
            of=shown.of,
            eta_s=shown.eta_s,
            metrics=shown.metrics,
        )
    )
    session.flush()
    notify(session, run_topic(run.id))
