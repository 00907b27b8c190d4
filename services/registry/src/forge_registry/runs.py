"""Starting, advancing and ending runs. Every change is made under the run's lock and leaves a line in its history."""

from __future__ import annotations

from sqlmodel import Session

from forge_common.contracts.base import new_id, utc_now
from forge_common.contracts.runs import AttemptState, RunKind, RunRequest, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import StageFailure
from forge_common.contracts.tasks import SWEEP, Tick
from forge_registry import pipeline, promotions, repository
from forge_registry.bells import open_stage
from forge_registry.errors import NothingToJudge, RunAlreadyActive, RunFinished, RunNotFinished
from forge_registry.history import note, to_state
from forge_registry.models import Domain, Run, Stage, Version
from forge_registry.outbox import ring_after_commit

FIRST_USE = "first use"


def start(session: Session, request: RunRequest, *, by: str, worker_ttl_s: float) -> Run:
    """Insert the run, its first stage and the doorbell, in the caller's transaction.

    A request whose idempotency key is known returns that run. Raises RunAlreadyActive, NoTrainerAlive, NothingToJudge.
    """
    domain = repository.domain(session, request.domain, lock=True)
    if request.idempotency_key and (known := repository.run_of_key(session, request.idempotency_key)):
        return known
    if active := repository.active_run(session, domain.id):
        raise RunAlreadyActive(domain.id, active.id)
    run = _new_run(session, domain, request, worker_ttl_s)
    return _begin(session, run, by, exported=False)


def retry(session: Session, run_id: str, *, by: str) -> Run:
    """A new run for one that failed or was cancelled, past the stages whose outcome is already there.

    Asking twice gives the same run; once that has failed too, it is the one that is gone on with.
    Raises RunNotFinished, RunFinished, RunAlreadyActive.
    """
    old = repository.run(session, run_id)
    repository.domain(session, old.domain, lock=True)
    while known := repository.run_of_key(session, _retry_key(old)):
        if not known.state.is_final:
            return known
        old = known
    if not old.state.is_final:
        raise RunNotFinished(
            f"run {old.id} is {old.state}", fix=f"wait for it, or `forge runs cancel {old.id}`"
        )
    if old.state not in (RunState.FAILED, RunState.CANCELLED):
        raise RunFinished(f"run {old.id} ended as {old.state}", fix="start a new one: `forge train`")
    if active := repository.active_run(session, old.domain):
        raise RunAlreadyActive(old.domain, active.id)
    return _begin(session, _again(old), by, exported=_is_exported(session, old))


def cancel(session: Session, run_id: str, *, by: str) -> Run:
    """Call a run off. Its worker learns it from the next heartbeat. Cancelling twice is the same as once."""
    run = repository.lock_run(session, run_id)
    if run.state is RunState.CANCELLED:
        return run
    if run.state.is_final:
        raise RunFinished(f"run {run.id} ended as {run.state}")
    end_open_attempts(session, run, "cancelled")
    to_state(session, run, RunState.CANCELLED, f"cancelled by {by}")
    repository.audit(session, by=by, action="run.cancelled", subject=run.id)
    return run


def fail(session: Session, run: Run, failure: StageFailure) -> None:
    """End the run with the reason; the caller holds its lock."""
    run.error, run.fix = failure.message, failure.fix
    end_open_attempts(session, run, failure.message)
    to_state(session, run, RunState.FAILED, failure.message)


def advance(session: Session, run: Run, finished: Stage) -> None:
    """`finished` has its result: open the next stage, or decide."""
    has_benchmark = run.document.benchmark is not None
    step = pipeline.next_step(run.kind, finished.kind, has_benchmark=has_benchmark)
    if step is None:
        _decide(session, run)
        return
    to_state(session, run, step.state)
    open_stage(session, run, step)


def keep(session: Session, run: Run, reason: str) -> None:
    to_state(session, run, RunState.KEPT, reason)


def end_open_attempts(session: Session, run: Run, reason: str) -> None:
    for stage in repository.stages(session, run.id):
        for attempt in repository.attempts(session, stage.id):
            if attempt.state in (AttemptState.RUNG, AttemptState.CLAIMED):
                attempt.state, attempt.ended_at, attempt.error = AttemptState.FAILED, utc_now(), reason


def _decide(session: Session, run: Run) -> None:
    """Everything that needs no engine is decided here and now; a promotion is left to the sweeper, after its preflight."""
    to_state(session, run, RunState.DECIDING)
    if run.kind is RunKind.BASE:
        _end_base_run(session, run)
        return
    if run.kind is RunKind.TRAIN and run.verdict is None:
        run.verdict = Verdict.INSUFFICIENT_DATA
    decision = pipeline.decide(
        run.kind,
        run.verdict,
        judged_against=run.incumbent,
        live=repository.live(session, run.domain),
    )
    if decision.promote:
        ring_after_commit(session, SWEEP, Tick())
    else:
        keep(session, run, decision.reason)


def _end_base_run(session: Session, run: Run) -> None:
    latest = repository.promotions(session, run.domain)[0]
    if latest.run_id == run.id:
        to_state(session, run, RunState.PROMOTED, FIRST_USE)
    else:
        keep(session, run, "v0 is in the engine; what is live stays live")


def go_live_first(session: Session, run: Run) -> None:
    """v0 becomes live when the domain is first used: there is always something to judge against and to go back to."""
    repository.domain(session, run.domain, lock=True)
    if repository.pointer(session, run.domain) is None:
        promotions.push(session, run.domain, 0, reason=FIRST_USE, by="registry", kind="manual", run_id=run.id)


def _new_run(session: Session, domain: Domain, request: RunRequest, worker_ttl_s: float) -> Run:
    alive = repository.alive_queues(session, worker_ttl_s)
    now = utc_now()
    document = domain.document
    if request.benchmark is not None:
        document = document.model_copy(update={"benchmark": request.benchmark})
    if request.kind is RunKind.TRAIN and document.benchmark is not None:
        pipeline.check_guards(document, [row.document for row in repository.domains(session)])
    return Run(
        id=new_id("run"),
        domain=domain.id,
        kind=request.kind,
        state=RunState.QUEUED,
        state_at=now,
        created_at=now,
        hardware=pipeline.choose_hardware(request.hardware, request.kind, alive),
        document=document,
        base=repository.base_ref(session, document),
        dataset=request.dataset,
        version=_judged(session, request) if request.kind is RunKind.EVAL else None,
        opponent=request.opponent,
        idempotency_key=request.idempotency_key,
    )


def _judged(session: Session, request: RunRequest) -> int:
    number = repository.live(session, request.domain) if request.version is None else request.version
    if number is None:
        raise NothingToJudge(
            f"nothing of {request.domain!r} is live yet", fix="`forge train` deploys v0 first"
        )
    if request.opponent is not None:
        promotions.ready(session, request.domain, request.opponent)
    if request.opponent == number:
        raise NothingToJudge(
            f"v{number} cannot be judged against itself", fix="name two versions: `forge versions` lists them"
        )
    return promotions.ready(session, request.domain, number).number


def _again(old: Run) -> Run:
    now = utc_now()
    return Run(
        id=new_id("run"),
        domain=old.domain,
        kind=old.kind,
        state=RunState.QUEUED,
        state_at=now,
        created_at=now,
        hardware=old.hardware,
        document=old.document,
        base=old.base,
        dataset=old.dataset,
        adapter=old.adapter,
        version=old.version,
        opponent=old.opponent,
        idempotency_key=_retry_key(old),
    )


def _is_exported(session: Session, run: Run) -> bool:
    """Whether the run's version is there to be deployed."""
    number = 0 if run.kind is RunKind.BASE else run.version
    return number is not None and session.get(Version, (run.domain, number)) is not None


def _retry_key(old: Run) -> str:
    return f"retry:{old.id}"


def _begin(session: Session, run: Run, by: str, *, exported: bool) -> Run:
    step = pipeline.first_step(
        run.kind,
        has_benchmark=run.document.benchmark is not None,
        dataset=run.dataset is not None,
        adapter=run.adapter is not None,
        exported=exported,
    )
    session.add(run)
    session.flush()
    note(session, run, "run.state", message=f"started by {by}")
    open_stage(session, run, step)
    repository.audit(session, by=by, action="run.started", subject=run.id, kind=run.kind, domain=run.domain)
    return run
