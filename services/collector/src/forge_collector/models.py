"""The collector's tables, schema `collector`. Nobody else reads or writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Identity, Index, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from forge_common.contracts.base import utc_now

SCHEMA = "collector"
metadata = MetaData(schema=SCHEMA)


class Table(SQLModel):
    metadata = metadata


def _time() -> Any:
    return DateTime(timezone=True)


class ExchangeRow(Table, table=True):
    """An exchange: what is searched for as columns, the whole of it as text.

    Text and not JSONB, because JSONB refuses the NUL character, which prompts may contain.
    """

    __tablename__ = "exchanges"
    __table_args__ = (
        Index("exchanges_by_domain", "domain", "id"),
        Index("exchanges_by_conversation", "conversation_id"),
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
    created_at: datetime = Field(default_factory=utc_now, sa_type=_time())


class SpoolPosition(Table, table=True):
    """How far a spool was drained; moved in the transaction that stores what was read."""

    __tablename__ = "spool_position"

    spool: str = Field(primary_key=True)
    segment: int = Field(sa_type=BigInteger)
    byte_offset: int = Field(sa_type=BigInteger)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_time())
