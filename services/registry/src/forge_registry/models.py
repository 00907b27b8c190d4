"""The registry's tables, schema `registry`. Rows only: what may change when is in `stages.py`, `runs.py`, `promotions.py`.

Whoever changes a run, its stages or its history holds the lock on the run's row; whoever moves a pointer holds the
lock on the domain's row, taken after the run's. That is the whole lock order.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

from forge_common.contracts.base import ArtifactRef, utc_now
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.runs import AttemptState, Hardware, RunKind, RunState
from forge_common.contracts.scorecard import Scorecard, Verdict
from forge_common.contracts.stages import BaseModelRef, ParityProbe, StageClaim, StageKind, StageResult

SCHEMA = "registry"
metadata = MetaData(schema=SCHEMA)


class Json(TypeDecorator[Any]):
    """A contract in a JSONB column: validated on the way out, so a row is never an untyped dict."""

    impl = JSONB
    # SQLAlchemy's statement cache tells two of these apart by `shape`.
    cache_ok = True

    def __init__(self, shape: Any) -> None:
        super().__init__(none_as_null=True)
        self.shape = shape
        self._adapter: TypeAdapter[Any] = TypeAdapter(shape)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else self._adapter.dump_python(value, mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else self._adapter.validate_python(value, strict=False)


def _words(kind: type[StrEnum]) -> TypeEngine[Any]:
    """A StrEnum as text: new members need no migration."""
    return Enum(
        kind,
        native_enum=False,
        length=32,
        create_constraint=False,
        values_callable=lambda members: [m.value for m in members],
    )


def _time() -> TypeEngine[Any]:
    return DateTime(timezone=True)


class Table(SQLModel):
    metadata = metadata


class OutboxKind(StrEnum):
    """BELL rings a queue; ALIAS makes the engine's `:latest` follow a domain's pointer."""

    BELL = "bell"
    ALIAS = "alias"


class Scope(StrEnum):
    READ = "read"
    WORKER = "worker"
    ADMIN = "admin"


class Domain(Table, table=True):
    __tablename__ = "domains"

    id: str = Field(primary_key=True)
    document: DomainDocument = Field(sa_type=Json(DomainDocument))
    created_at: datetime = Field(default_factory=utc_now, sa_type=_time())
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class Installation(Table, table=True):
    """One row. `pointer_revision` is counted here, not by a sequence, so that revisions become visible in order."""

    __tablename__ = "installation"

    id: int = Field(default=1, primary_key=True)
    pointer_revision: int = Field(default=0, sa_type=BigInteger)
    active_domain: str | None = Field(default=None, foreign_key="registry.domains.id")


class Base(Table, table=True):
    """Base weights that somebody uploaded; all others come from the model hub."""

    __tablename__ = "bases"

    name: str = Field(primary_key=True)
    revision: str = Field(primary_key=True)
    bundle: str
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class BaseExport(Table, table=True):
    """A base as GGUF, made once. `bundle` is empty for a base from the hub."""

    __tablename__ = "base_exports"

    name: str = Field(primary_key=True)
    revision: str = Field(primary_key=True)
    bundle: str = Field(primary_key=True)
    quant: str = Field(primary_key=True)
    gguf: ArtifactRef = Field(sa_type=Json(ArtifactRef))
    created_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class Worker(Table, table=True):
    __tablename__ = "workers"

    name: str = Field(primary_key=True)
    service: str
    queues: list[str] = Field(sa_type=JSONB)
    device: str = ""
    memory_bytes: int = Field(default=0, sa_type=BigInteger)
    memory_used_bytes: int | None = Field(default=None, sa_type=BigInteger)
    versions: dict[str, str] = Field(sa_type=JSONB)
    last_seen: datetime = Field(sa_type=_time())


class PulseRow(Table, table=True):
    """One row: until when, and since when without a gap, the registry has listened to its workers."""

    __tablename__ = "pulse"

    id: int = Field(default=1, primary_key=True)
    since: datetime = Field(sa_type=_time())
    seen: datetime = Field(sa_type=_time())


_ACTIVE = text("state not in ('promoted', 'kept', 'failed', 'cancelled')")


class Run(Table, table=True):
    """`document` and `base` are as they were when the run began: a domain edited meanwhile does not change a run."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("one_active_run_per_domain", "domain", unique=True, postgresql_where=_ACTIVE),
        Index("runs_by_domain", "domain", "created_at"),
    )

    id: str = Field(primary_key=True)
    domain: str = Field(foreign_key="registry.domains.id")
    kind: RunKind = Field(sa_type=_words(RunKind))
    state: RunState = Field(sa_type=_words(RunState))
    state_at: datetime = Field(sa_type=_time())
    hardware: Hardware = Field(sa_type=_words(Hardware))
    document: DomainDocument = Field(sa_type=Json(DomainDocument))
    base: BaseModelRef = Field(sa_type=Json(BaseModelRef))
    dataset: str | None = None
    adapter: ArtifactRef | None = Field(default=None, sa_type=Json(ArtifactRef))
    version: int | None = None
    # What an evaluation was told to judge against; `incumbent` is what it was judged against.
    opponent: int | None = None
    incumbent: int | None = None
    verdict: Verdict | None = Field(default=None, sa_type=_words(Verdict))
    scorecard_id: str | None = None
    error: str | None = None
    fix: str | None = None
    idempotency_key: str | None = Field(default=None, unique=True)
    created_at: datetime = Field(sa_type=_time())
    ended_at: datetime | None = Field(default=None, sa_type=_time())


class Stage(Table, table=True):
    """`fence` is the newest token given out; it grows with every claim and every loss."""

    __tablename__ = "stages"
    __table_args__ = (UniqueConstraint("run_id", "kind", name="one_stage_of_a_kind_per_run"),)

    id: str = Field(primary_key=True)
    run_id: str = Field(foreign_key="registry.runs.id", index=True)
    kind: StageKind = Field(sa_type=_words(StageKind))
    position: int
    queue: str
    fence: int = 0
    lease_until: datetime | None = Field(default=None, sa_type=_time())
    # When the sweeper first saw the lease expired; a heartbeat clears it.
    suspected_at: datetime | None = Field(default=None, sa_type=_time())
    result: StageResult | None = Field(default=None, sa_type=Json(StageResult))


class Attempt(Table, table=True):
    __tablename__ = "attempts"
    __table_args__ = (Index("open_attempts", "state", postgresql_where=text("state in ('rung', 'claimed')")),)

    stage_id: str = Field(primary_key=True, foreign_key="registry.stages.id")
    number: int = Field(primary_key=True)
    state: AttemptState = Field(sa_type=_words(AttemptState))
    rung_at: datetime = Field(sa_type=_time())
    rings: int = 1
    worker: str | None = None
    claim_id: str | None = None
    token: int | None = None
    # What the claim was answered with: a repeated claim gets the same.
    answer: StageClaim | None = Field(default=None, sa_type=Json(StageClaim))
    started_at: datetime | None = Field(default=None, sa_type=_time())
    ended_at: datetime | None = Field(default=None, sa_type=_time())
    error: str | None = None


class Event(Table, table=True):
    """`seq` is in commit order within a run, because writers hold the run's lock."""

    __tablename__ = "events"
    __table_args__ = (Index("events_by_run", "run_id", "seq"),)

    seq: int | None = Field(
        default=None, primary_key=True, sa_type=BigInteger, sa_column_args=(Identity(always=True),)
    )
    run_id: str = Field(foreign_key="registry.runs.id")
    at: datetime = Field(sa_type=_time())
    event: str
    state: RunState = Field(sa_type=_words(RunState))
    stage: StageKind | None = Field(default=None, sa_type=_words(StageKind))
    message: str = ""
    step: int | None = None
    of: int | None = None
    eta_s: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict, sa_type=JSONB)


class Version(Table, table=True):
    """Everything that deploying it again takes: the version outlives edits of its domain."""

    __tablename__ = "versions"

    domain: str = Field(primary_key=True, foreign_key="registry.domains.id")
    number: int = Field(primary_key=True)
    model: str
    run_id: str | None = Field(default=None, foreign_key="registry.runs.id")
    dataset: str | None = None
    adapter: ArtifactRef | None = Field(default=None, sa_type=Json(ArtifactRef))
    base_gguf: ArtifactRef = Field(sa_type=Json(ArtifactRef))
    adapter_gguf: ArtifactRef | None = Field(default=None, sa_type=Json(ArtifactRef))
    fused_gguf: ArtifactRef | None = Field(default=None, sa_type=Json(ArtifactRef))
    system_prompt: str = ""
    parameters: dict[str, float | int | list[str]] = Field(default_factory=dict, sa_type=JSONB)
    probes: tuple[ParityProbe, ...] = Field(default=(), sa_type=Json(tuple[ParityProbe, ...]))
    created_at: datetime = Field(sa_type=_time())
    deployed_at: datetime | None = Field(default=None, sa_type=_time())
    digest: str | None = None
    probes_equal: int | None = None
    probes_asked: int | None = None
    score: float | None = None
    scorecard_id: str | None = None


class ScorecardRow(Table, table=True):
    __tablename__ = "scorecards"

    id: str = Field(primary_key=True)
    run_id: str = Field(foreign_key="registry.runs.id", index=True)
    domain: str = Field(foreign_key="registry.domains.id")
    version: int
    incumbent: int | None = None
    scorecard: Scorecard = Field(sa_type=Json(Scorecard))
    report: ArtifactRef = Field(sa_type=Json(ArtifactRef))
    created_at: datetime = Field(sa_type=_time())


class Promotion(Table, table=True):
    """One move of a pointer. `below` is the promotion that a rollback goes back to: history is a stack, not a log to undo."""

    __tablename__ = "promotions"
    __table_args__ = (Index("promotions_by_domain", "domain", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    domain: str = Field(foreign_key="registry.domains.id")
    version: int
    previous: int | None = None
    below: int | None = Field(default=None, foreign_key="registry.promotions.id")
    at: datetime = Field(sa_type=_time())
    reason: str
    by: str
    kind: str
    run_id: str | None = Field(default=None, foreign_key="registry.runs.id")


class PointerRow(Table, table=True):
    """Where `:latest` of a domain points. The truth; the engine's alias and the gateway follow."""

    __tablename__ = "pointers"
    __table_args__ = (
        ForeignKeyConstraint(["domain", "live"], ["registry.versions.domain", "registry.versions.number"]),
    )

    domain: str = Field(primary_key=True, foreign_key="registry.domains.id")
    live: int
    promotion_id: int = Field(foreign_key="registry.promotions.id")


class Key(Table, table=True):
    """The key itself is shown once and never stored: 256 random bits need no salt and no slow hash."""

    __tablename__ = "keys"

    id: str = Field(primary_key=True)
    name: str
    scope: Scope = Field(sa_type=_words(Scope))
    hash: str = Field(unique=True)
    created_at: datetime = Field(sa_type=_time())
    revoked_at: datetime | None = Field(default=None, sa_type=_time())


class Audit(Table, table=True):
    __tablename__ = "audit"

    id: int | None = Field(
        default=None, primary_key=True, sa_type=BigInteger, sa_column_args=(Identity(always=True),)
    )
    at: datetime = Field(sa_type=_time())
    by: str
    action: str
    subject: str
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)


class Outbox(Table, table=True):
    """What must happen after commit. A row is tried until it is sent; doing it twice does no harm."""

    __tablename__ = "outbox"
    __table_args__ = (Index("unsent", "kind", "due_at", postgresql_where=text("sent_at is null")),)

    id: int | None = Field(
        default=None, primary_key=True, sa_type=BigInteger, sa_column_args=(Identity(always=True),)
    )
    kind: OutboxKind = Field(sa_type=_words(OutboxKind))
    # The task's name for a BELL, the domain for an ALIAS.
    subject: str
    queue: str = ""
    payload: str = ""
    due_at: datetime = Field(sa_type=_time())
    tries: int = 0
    sent_at: datetime | None = Field(default=None, sa_type=_time())
    error: str | None = None
