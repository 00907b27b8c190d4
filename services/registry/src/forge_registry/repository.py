"""Looking things up and locking them. Decides nothing; what is not there raises the error that names it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

from sqlalchemy import func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from forge_common.contracts.base import ArtifactRef, utc_now
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.runs import FINAL, RunKind, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import BaseModelRef
from forge_registry.errors import DomainUnknown, RunUnknown, ScorecardUnknown, StageUnknown, VersionUnknown
from forge_registry.models import (
    Attempt,
    Audit,
    Base,
    BaseExport,
    Domain,
    Event,
    Installation,
    PointerRow,
    Promotion,
    Run,
    ScorecardRow,
    Stage,
    Version,
    Worker,
)

T = TypeVar("T")

# The domain that is active until one is chosen.
FIRST_DOMAIN = "coding"


def _locked(query: SelectOfScalar[T]) -> SelectOfScalar[T]:
    """Locked until the transaction ends, and as it is now, not as this session last saw it.

    "No key": rows that merely refer to it may be inserted meanwhile.
    """
    return query.with_for_update(key_share=True).execution_options(populate_existing=True)


def domain(session: Session, domain_id: str, *, lock: bool = False) -> Domain:
    query = select(Domain).where(col(Domain.id) == domain_id)
    found = session.exec(_locked(query) if lock else query).one_or_none()
    if found is None:
        raise DomainUnknown(domain_id)
    return found


def domains(session: Session) -> Sequence[Domain]:
    return session.exec(select(Domain).order_by(col(Domain.id))).all()


def installation(session: Session, *, lock: bool = False) -> Installation:
    query = select(Installation).where(col(Installation.id) == 1)
    return session.exec(_locked(query) if lock else query).one()


def active_domain(session: Session) -> str:
    return installation(session).active_domain or FIRST_DOMAIN


def run(session: Session, run_id: str) -> Run:
    found = session.get(Run, run_id)
    if found is None:
        raise RunUnknown(run_id)
    return found


def lock_run(session: Session, run_id: str) -> Run:
    found = session.exec(_locked(select(Run).where(col(Run.id) == run_id))).one_or_none()
    if found is None:
        raise RunUnknown(run_id)
    return found


class Held(NamedTuple):
    """A stage, its run, which is locked, and its newest attempt."""

    run: Run
    stage: Stage
    attempt: Attempt


def lock_stage(session: Session, stage_id: str) -> Held:
    stage = session.get(Stage, stage_id)
    if stage is None:
        raise StageUnknown(stage_id)
    locked = lock_run(session, stage.run_id)
    session.refresh(stage)
    return Held(locked, stage, attempts(session, stage_id)[-1])


def stages(session: Session, run_id: str) -> Sequence[Stage]:
    return session.exec(select(Stage).where(col(Stage.run_id) == run_id).order_by(col(Stage.position))).all()


def attempts(session: Session, stage_id: str) -> Sequence[Attempt]:
    query = select(Attempt).where(col(Attempt.stage_id) == stage_id).order_by(col(Attempt.number))
    return session.exec(query.execution_options(populate_existing=True)).all()


def run_of_key(session: Session, idempotency_key: str) -> Run | None:
    return session.exec(select(Run).where(col(Run.idempotency_key) == idempotency_key)).one_or_none()


def active_run(session: Session, domain_id: str) -> Run | None:
    query = select(Run).where(col(Run.domain) == domain_id, col(Run.state).not_in(FINAL))
    return session.exec(query).one_or_none()


def runs(session: Session, domain_id: str | None, limit: int) -> Sequence[Run]:
    """Newest first."""
    query = select(Run).order_by(col(Run.created_at).desc()).limit(limit)
    return session.exec(query.where(col(Run.domain) == domain_id) if domain_id else query).all()


def runs_in(session: Session, state: RunState) -> Sequence[Run]:
    return session.exec(select(Run).where(col(Run.state) == state)).all()


def events(session: Session, run_id: str, after: int) -> Sequence[Event]:
    query = select(Event).where(col(Event.run_id) == run_id, col(Event.seq) > after)
    return session.exec(query.order_by(col(Event.seq))).all()


def version(session: Session, domain_id: str, number: int) -> Version:
    found = session.get(Version, (domain_id, number))
    if found is None:
        domain(session, domain_id)
        raise VersionUnknown(domain_id, number)
    return found


def versions(session: Session, domain_id: str) -> Sequence[Version]:
    """Newest first."""
    query = select(Version).where(col(Version.domain) == domain_id)
    return session.exec(query.order_by(col(Version.number).desc())).all()


def next_number(session: Session, domain_id: str) -> int:
    """The number of the domain's next version, 1 or more; the caller holds the domain's lock."""
    query = select(func.max(Version.number)).where(col(Version.domain) == domain_id)
    return (session.exec(query).one() or 0) + 1


def pointer(session: Session, domain_id: str) -> PointerRow | None:
    query = select(PointerRow).where(col(PointerRow.domain) == domain_id)
    return session.exec(query.execution_options(populate_existing=True)).one_or_none()


def live(session: Session, domain_id: str) -> int | None:
    row = pointer(session, domain_id)
    return row.live if row else None


def promotions(session: Session, domain_id: str) -> Sequence[Promotion]:
    """Newest first."""
    query = select(Promotion).where(col(Promotion.domain) == domain_id)
    return session.exec(query.order_by(col(Promotion.id).desc())).all()


def judged_before(session: Session, run: Run) -> int:
    """How many versions other than the run's own the gate has judged in this domain on the run's benchmark.

    Evaluations that only judge spend nothing: they can promote nothing. Nor do those that could conclude nothing.
    """
    benchmark, verdict = (col(ScorecardRow.scorecard)[key].as_string() for key in ("benchmark", "verdict"))
    query = (
        select(func.count(func.distinct(ScorecardRow.version)))
        .join(Run, col(Run.id) == col(ScorecardRow.run_id))
        .where(
            col(ScorecardRow.domain) == run.domain,
            col(Run.kind) == RunKind.TRAIN,
            col(ScorecardRow.version) != run.version,
            benchmark == run.document.benchmark,
            verdict != Verdict.INSUFFICIENT_DATA,
        )
    )
    return session.exec(query).one()


def scorecard(session: Session, scorecard_id: str) -> ScorecardRow:
    found = session.get(ScorecardRow, scorecard_id)
    if found is None:
        raise ScorecardUnknown(scorecard_id)
    return found


def base_ref(session: Session, document: DomainDocument) -> BaseModelRef:
    """The domain's base: from the artifact store when somebody registered it, else from the model hub."""
    registered = session.get(Base, (document.base_model, document.base_revision))
    return BaseModelRef(
        name=document.base_model,
        revision=document.base_revision,
        bundle=registered.bundle if registered else None,
    )


def base_gguf(session: Session, base: BaseModelRef, quant: str) -> ArtifactRef | None:
    found = session.get(BaseExport, (base.name, base.revision, base.bundle or "", quant))
    return found.gguf if found else None


def workers(session: Session) -> Sequence[Worker]:
    return session.exec(select(Worker).order_by(col(Worker.name))).all()


def alive_queues(session: Session, ttl_s: float) -> set[str]:
    """The queues that workers seen within `ttl_s` seconds consume."""
    since = utc_now() - timedelta(seconds=ttl_s)
    alive = session.exec(select(Worker).where(col(Worker.last_seen) > since)).all()
    return {queue for worker in alive for queue in worker.queues}


def audit(session: Session, *, by: str, action: str, subject: str, **detail: object) -> None:
    session.add(Audit(at=utc_now(), by=by, action=action, subject=subject, detail=detail))
