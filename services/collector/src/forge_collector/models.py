"""The collector's tables, schema `collector`. Nobody else reads or writes them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Identity,
    Index,
    MetaData,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from forge_common.contracts.base import utc_now

SCHEMA = "collector"
metadata = MetaData(schema=SCHEMA)

# What exchanges are counted by.
COUNTED = (
    "hour", "domain", "origin", "upstream", "model_asked", "model_served", "task_type", "complete", "status",
)  # fmt: skip

_HOUR = "date_trunc('hour', captured_at at time zone 'UTC')"


class Table(SQLModel):
    metadata = metadata


def _time() -> Any:
    return DateTime(timezone=True)


class ExchangeRow(Table, table=True):
    """An exchange: what is searched for as columns, the whole of it as text.

    Text and not JSONB, because JSONB refuses the NUL character, which prompts may contain.
    `hour` is when it was captured, cut down, in UTC; with it, all that is counted by is in one small index.
    """

    __tablename__ = "exchanges"
    __table_args__ = (
        Index("exchanges_by_domain", "domain", "captured_at", "id"),
        Index("exchanges_counted", *COUNTED),
        Index("exchanges_by_conversation", "conversation_id"),
        Index("exchanges_pairs", "pair_of", postgresql_where=text("pair_of is not null")),
        Index("exchanges_by_storing", "stored_at", postgresql_using="brin"),
    )

    id: str = Field(primary_key=True)
    captured_at: datetime = Field(sa_type=_time())
    domain: str
    conversation_id: str
    origin: str
    dialect: str
    model_asked: str | None = None
    model_served: str | None = None
    finish_reason: str | None = None
    status: int
    complete: bool
    prompt_tokens: int | None = Field(default=None, sa_type=BigInteger)
    completion_tokens: int | None = Field(default=None, sa_type=BigInteger)
    pair_of: str | None = None
    upstream: str | None = None
    task_type: str | None = None
    hour: datetime | None = Field(default=None, sa_column=Column(DateTime, Computed(_HOUR, persisted=True)))
    document: str = Field(sa_type=Text)
    stored_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class FeedbackRow(Table, table=True):
    """What a person thinks of an answer. No foreign key: feedback may be quicker than the drainer."""

    __tablename__ = "feedback"
    __table_args__ = (CheckConstraint("thumb in (-1, 1)", name="thumb_is_up_or_down"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    exchange_id: str = Field(index=True)
    thumb: int | None = None
    corrected: str | None = None
    note: str | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class DatasetRecord(Table, table=True):
    """A dataset that was built; its content is an artifact of the same hash."""

    __tablename__ = "datasets"

    sha256: str = Field(primary_key=True)
    domain: str = Field(index=True)
    size: int = Field(sa_type=BigInteger)
    manifest: dict[str, Any] = Field(sa_type=JSONB)
    # When the newest exchange that it was made from was stored; None when none was found.
    seen_until: datetime | None = Field(default=None, sa_type=_time())
    # The last run that it was prepared for; None for one that was built by hand.
    run_id: str | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=_time())
    # Some of its exchanges were erased: nobody may train on it again, and the registry has to forget it, or has.
    withdrawn_at: datetime | None = Field(default=None, sa_type=_time())
    forgotten_at: datetime | None = Field(default=None, sa_type=_time())


class DatasetMember(Table, table=True):
    """An exchange that a row of the dataset was made from."""

    __tablename__ = "dataset_members"
    __table_args__ = (Index("dataset_members_by_exchange", "exchange_id"),)

    dataset: str = Field(primary_key=True)
    exchange_id: str = Field(primary_key=True)


class SpoolPosition(Table, table=True):
    """How far a spool was drained; moved in the transaction that stores what was read."""

    __tablename__ = "spool_position"

    spool: str = Field(primary_key=True)
    segment: int = Field(sa_type=BigInteger)
    byte_offset: int = Field(sa_type=BigInteger)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class ShadowPolicyRow(Table, table=True):
    """How much is shadowed: one row, or none for the defaults.

    What was stored before `switched_on_at` is left alone; what was stored before `seen_until` was looked at.
    """

    __tablename__ = "shadow_policy"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(default=1, primary_key=True)
    rate: float
    concurrency: int
    daily_tokens: int = Field(sa_type=BigInteger)
    answer_tokens: int
    switched_on_at: datetime = Field(sa_type=_time())
    seen_until: datetime = Field(sa_type=_time())
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class ShadowCallRow(Table, table=True):
    """A live exchange that was sampled, and what became of its shadow. `token` fences off a worker that lost its lease."""

    __tablename__ = "shadow_calls"
    __table_args__ = (
        Index("shadow_calls_open", "due_at", postgresql_where=text("state in ('due', 'claimed')")),
        Index("shadow_calls_by_state", "state", "reason"),
    )

    exchange_id: str = Field(primary_key=True)
    answerer: str
    state: str
    prompt_tokens: int = Field(sa_type=BigInteger)
    attempts: int = 0
    token: int = 0
    due_at: datetime = Field(sa_type=_time())
    lease_until: datetime | None = Field(default=None, sa_type=_time())
    # Charged to the budget of `claimed_on` until the call's usage is known.
    reserved: int = Field(default=0, sa_type=BigInteger)
    claimed_on: date | None = None
    reason: str | None = None


class ShadowDayRow(Table, table=True):
    """What shadow calls used on a UTC day; calls under way count with all that they may use."""

    __tablename__ = "shadow_days"

    day: date = Field(primary_key=True)
    tokens: int = Field(sa_type=BigInteger)


class ShadowPauseRow(Table, table=True):
    """A model that failed is left alone until `until`, longer each time."""

    __tablename__ = "shadow_pauses"

    answerer: str = Field(primary_key=True)
    failures: int
    until: datetime = Field(sa_type=_time())
    reason: str


class ImportRow(Table, table=True):
    """An import: how many records of its file are dealt with, and with what result. Moved with the rows it stored."""

    __tablename__ = "imports"

    id: str = Field(primary_key=True)
    domain: str
    format: str | None = None
    position: int = Field(default=0, sa_type=BigInteger)
    # The length of the last batch: a client that never heard of its end sends it again.
    batch: int = Field(default=0, sa_type=BigInteger)
    receipt: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    finished_at: datetime | None = Field(default=None, sa_type=_time())
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class PolicyRuleRow(Table, table=True):
    """A person's word on whose answers may be trained on. Newest first."""

    __tablename__ = "policy_rules"

    pattern: str = Field(primary_key=True)
    eligible: bool
    reason: str
    created_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class ModelRuleRow(Table, table=True):
    """Which domain a model's exchanges belong to. Newest first."""

    __tablename__ = "model_rules"

    pattern: str = Field(primary_key=True)
    domain: str
    created_at: datetime = Field(default_factory=utc_now, sa_type=_time())
