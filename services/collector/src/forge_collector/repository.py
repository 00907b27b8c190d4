"""Queries on the collector's tables. They flush at most; whoever opened the session commits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from pydantic import Field
from sqlalchemy import ColumnElement, CursorResult, func, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlmodel import Session, col, select

from forge_collector.curate import Candidate
from forge_collector.models import SCHEMA, DatasetRecord, ExchangeRow, FeedbackRow, SpoolPosition
from forge_collector.spool import Position
from forge_common.contracts.base import Contract, Moment, utc_now
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.exchange import Exchange, Origin

FETCH = 500
_COLUMNS = {
    "id": "text",
    "captured_at": "timestamptz",
    "domain": "text",
    "conversation_id": "text",
    "origin": "text",
    "dialect": "text",
    "model_asked": "text",
    "model_served": "text",
    "finish_reason": "text",
    "status": "int",
    "complete": "bool",
    "prompt_tokens": "bigint",
    "completion_tokens": "bigint",
    "document": "text",
    "stored_at": "timestamptz",
}
# One array a column: the cheapest statement for many rows that still says which of them were new.
_INSERT = text(
    f"insert into {SCHEMA}.exchanges ({', '.join(_COLUMNS)}) select * from unnest("  # noqa: S608  names of our own
    + ", ".join(f"cast(:{name} as {kind}[])" for name, kind in _COLUMNS.items())
    + ") on conflict (id) do nothing"
)


class ExchangeFilter(Contract):
    """None does not filter. Pages go backwards in time: `before` is the id that the last page ended with."""

    domain: str | None = None
    origin: Origin | None = None
    conversation: str | None = None
    since: Moment | None = None
    complete: bool | None = None
    before: str | None = None
    limit: int = Field(default=50, ge=1, le=500)

    def conditions(self) -> list[ColumnElement[bool]]:
        equal = {
            ExchangeRow.domain: self.domain,
            ExchangeRow.origin: self.origin,
            ExchangeRow.conversation_id: self.conversation,
            ExchangeRow.complete: self.complete,
        }
        conditions = [col(column) == value for column, value in equal.items() if value is not None]
        if self.since is not None:
            conditions.append(col(ExchangeRow.captured_at) >= self.since)
        if self.before is not None:
            conditions.append(col(ExchangeRow.id) < self.before)
        return conditions


def insert_exchanges(session: Session, exchanges: Iterable[Exchange]) -> int:
    """Store what is not there yet, by id; returns how many were new."""
    rows = [_row(exchange) for exchange in exchanges]
    if not rows:
        return 0
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    return cast("CursorResult[Any]", session.connection().execute(_INSERT, columns)).rowcount


def find_exchanges(session: Session, where: ExchangeFilter, limit: int) -> list[Exchange]:
    """Newest first."""
    statement = (
        select(ExchangeRow.document)
        .where(*where.conditions())
        .order_by(col(ExchangeRow.id).desc())
        .limit(limit)
    )
    return [Exchange.model_validate_json(document) for document in session.exec(statement)]


def candidates(session: Session, domain: str, origins: Sequence[Origin] = ()) -> Iterator[Candidate]:
    """Everything of a domain in the order of ids, with its newest feedback."""
    newest = (
        select(FeedbackRow.exchange_id, FeedbackRow.thumb, FeedbackRow.corrected)
        .where(col(FeedbackRow.thumb).is_not(None) | col(FeedbackRow.corrected).is_not(None))
        .ext(distinct_on(col(FeedbackRow.exchange_id)))
        .order_by(col(FeedbackRow.exchange_id), col(FeedbackRow.id).desc())
        .subquery()
    )
    statement = (
        select(ExchangeRow.document, newest.c.thumb, newest.c.corrected)
        .join(newest, newest.c.exchange_id == ExchangeRow.id, isouter=True)
        .where(ExchangeRow.domain == domain)
        # Under the C collation ids sort the same on every machine.
        .order_by(col(ExchangeRow.id).collate("C"))
        .execution_options(yield_per=FETCH)
    )
    if origins:
        statement = statement.where(col(ExchangeRow.origin).in_(origins))
    for document, thumb, corrected in session.exec(statement):
        yield Candidate(Exchange.model_validate_json(document), thumb, corrected)


def counts(session: Session) -> list[tuple[str, str, int, int]]:
    """Domain, origin, exchanges, of them incomplete."""
    statement = (
        select(
            ExchangeRow.domain,
            ExchangeRow.origin,
            func.count(),
            func.count().filter(~col(ExchangeRow.complete)),
        )
        .group_by(ExchangeRow.domain, ExchangeRow.origin)
        .order_by(ExchangeRow.domain, ExchangeRow.origin)
    )
    return [(domain, origin, total, partial) for domain, origin, total, partial in session.exec(statement)]


def add_feedback(session: Session, row: FeedbackRow) -> None:
    session.add(row)
    session.flush()


def save_dataset(session: Session, sha256: str, size: int, manifest: DatasetManifest) -> None:
    """The same dataset built twice is one row."""
    values = {
        "sha256": sha256,
        "domain": manifest.domain,
        "size": size,
        "manifest": manifest.model_dump(mode="json"),
        "created_at": utc_now(),
    }
    session.connection().execute(insert(DatasetRecord).values(values).on_conflict_do_nothing())


def find_dataset(session: Session, sha256: str) -> DatasetManifest | None:
    record = session.get(DatasetRecord, sha256)
    return DatasetManifest.model_validate(record.manifest) if record else None


def spool_position(session: Session, spool: str) -> Position:
    row = session.get(SpoolPosition, spool)
    return Position(row.segment, row.byte_offset) if row else Position()


def move_spool_position(session: Session, spool: str, position: Position) -> None:
    values = {
        "spool": spool,
        "segment": position.segment,
        "byte_offset": position.offset,
        "updated_at": utc_now(),
    }
    statement = insert(SpoolPosition).values(values)
    session.connection().execute(
        statement.on_conflict_do_update(
            index_elements=["spool"], set_={k: statement.excluded[k] for k in values}
        )
    )


def check(session: Session) -> None:
    """Raises when the database or the schema is not there."""
    session.connection().execute(text("select 1 from collector.spool_position limit 1"))


def _row(exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.id,
        "captured_at": exchange.captured_at,
        "domain": exchange.domain,
        "conversation_id": exchange.conversation_id,
        "origin": exchange.origin.value,
        "dialect": exchange.dialect,
        "model_asked": _plain(exchange.model_asked),
        "model_served": _plain(exchange.model_served),
        "finish_reason": _plain(exchange.finish_reason),
        "status": exchange.status,
        "complete": exchange.complete,
        "prompt_tokens": exchange.usage.prompt_tokens,
        "completion_tokens": exchange.usage.completion_tokens,
        "document": exchange.model_dump_json(exclude_none=True),
        "stored_at": utc_now(),
    }


def _plain(value: str | None) -> str | None:
    # Postgres stores no NUL in text; the document has the original.
    return value.replace("\0", "") if value else value
