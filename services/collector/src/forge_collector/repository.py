"""Queries on the collector's tables. They flush at most; whoever opened the session commits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, cast

from pydantic import Field
from sqlalchemy import ColumnElement, CursorResult, func, or_, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from forge_collector.curate import Candidate
from forge_collector.feedback import last_words
from forge_collector.frames import Position
from forge_collector.models import SCHEMA, DatasetMember, DatasetRecord, ExchangeRow, SpoolPosition
from forge_collector.task_type import labelled
from forge_common.contracts.base import ArtifactRef, Contract, Moment, RunId, utc_now
from forge_common.contracts.dataset import DatasetManifest, SourceCount
from forge_common.contracts.exchange import Exchange, Origin
from forge_common.errors import NotFound

Row = dict[str, Any]

FETCH = 500
MEMBERS_AT_ONCE = 10_000
# Of a model's or an upstream's name as far as it is searched and counted by.
LONGEST_NAME = 200
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
    "status": "int4",
    "complete": "bool",
    "prompt_tokens": "bigint",
    "completion_tokens": "bigint",
    "pair_of": "text",
    "upstream": "text",
    "task_type": "text",
    "document": "text",
    "stored_at": "timestamptz",
}
# One array a column: the cheapest statement for many rows that still says which of them were new.
_INSERT = text(
    f"insert into {SCHEMA}.exchanges ({', '.join(_COLUMNS)}) select * from unnest("  # noqa: S608  names of our own
    + ", ".join(f"cast(:{name} as {kind}[])" for name, kind in _COLUMNS.items())
    + ") on conflict (id) do nothing"
)

_COPY = f"copy {SCHEMA}.exchanges ({', '.join(_COLUMNS)}) from stdin (format binary)"
# A batch's segments are deleted after its commit; a database that confirms commits early would lose them in a crash.
_DURABLE = text(
    "select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'"
)

_id, _captured_at, _hour = col(ExchangeRow.id), col(ExchangeRow.captured_at), col(ExchangeRow.hour)


class ExchangeUnknown(NotFound):
    """No exchange of that id is stored."""

    def __init__(self, exchange_id: str) -> None:
        super().__init__(
            f"there is no exchange {exchange_id[:80]!r}", fix="`forge data exchanges` lists what was captured"
        )


class ExchangeFilter(Contract):
    """None does not filter. Pages go backwards in time: `before` is the id that the last page ended with.

    `model` is a part of the name asked for or served, or with `*` and `?` the whole of it.
    """

    domain: str | None = None
    origin: Origin | None = None
    conversation: str | None = None
    since: Moment | None = None
    complete: bool | None = None
    model: str | None = None
    task_type: str | None = None
    before: str | None = None
    limit: int = Field(default=50, ge=1, le=500)

    def conditions(self) -> list[ColumnElement[bool]]:
        equal = {
            ExchangeRow.domain: self.domain,
            ExchangeRow.origin: self.origin,
            ExchangeRow.conversation_id: self.conversation,
            ExchangeRow.complete: self.complete,
            ExchangeRow.task_type: self.task_type,
        }
        conditions = [col(column) == value for column, value in equal.items() if value is not None]
        if self.since is not None:
            conditions.append(col(ExchangeRow.captured_at) >= self.since)
        if self.model:
            names = (col(ExchangeRow.model_served), col(ExchangeRow.model_asked))
            conditions.append(or_(*(name.ilike(_like(self.model)) for name in names)))
        return conditions


def insert_exchanges(session: Session, exchanges: Iterable[Exchange]) -> int:
    """Store what is not there yet, by id; returns how many were new."""
    return insert_rows(
        session,
        (exchange_row(exchange, exchange.model_dump_json(exclude_none=True)) for exchange in exchanges),
    )


def insert_rows(session: Session, rows: Iterable[Row]) -> int:
    """The same for `exchange_row`s."""
    found = list(rows)
    if not found:
        return 0
    columns = {name: [row[name] for row in found] for name in _COLUMNS}
    return cast("CursorResult[Any]", session.connection().execute(_INSERT, columns)).rowcount


def copy_rows(session: Session, rows: Iterable[Row]) -> int:
    """The same, several times as fast, of rows of which none is there yet; Postgres stores while `rows` are still being made.

    Raises psycopg's own errors: UniqueViolation when one of them is there.
    """
    cursor = session.connection().connection.cursor()
    with cursor.copy(_COPY) as copy:
        copy.set_types(list(_COLUMNS.values()))
        for row in rows:
            copy.write_row([row[name] for name in _COLUMNS])
    return int(cursor.rowcount)


def require_durable_commit(session: Session) -> None:
    """This transaction is on disk when its commit returns, whatever the server's default is."""
    session.connection().execute(_DURABLE)


def find_exchanges(session: Session, where: ExchangeFilter, limit: int) -> list[Exchange]:
    """Newest first. Raises ExchangeUnknown when the page before ended with an exchange that is gone."""
    conditions = where.conditions()
    if where.before is not None:
        last = session.get(ExchangeRow, where.before)
        if last is None:
            raise ExchangeUnknown(where.before)
        # The hour says nothing new, except to the planner.
        conditions += [tuple_(_captured_at, _id) < (last.captured_at, last.id), _hour <= last.hour]
    # With a domain its own index is in this order; without one the index of hours is, and an hour is sorted quickly.
    hours = () if where.domain else (_hour.desc(),)
    statement = (
        select(ExchangeRow.document)
        .where(*conditions)
        .order_by(*hours, _captured_at.desc(), _id.desc())
        .limit(limit)
    )
    return [Exchange.model_validate_json(document) for document in session.exec(statement)]


def find_exchange(session: Session, exchange_id: str) -> Exchange:
    """Raises ExchangeUnknown."""
    row = session.get(ExchangeRow, exchange_id)
    if row is None:
        raise ExchangeUnknown(exchange_id)
    return Exchange.model_validate_json(row.document)


def candidates(session: Session, domain: str, origins: Sequence[Origin] = ()) -> Iterator[Candidate]:
    """Everything of a domain in the order of ids, with what a person thinks of it."""
    words = last_words()
    statement = (
        select(ExchangeRow.document, ExchangeRow.stored_at, words.c.thumb, words.c.corrected)
        .join(words, words.c.exchange_id == ExchangeRow.id, isouter=True)
        .where(ExchangeRow.domain == domain)
        # Under the C collation ids sort the same on every machine.
        .order_by(_id.collate("C"))
        .execution_options(yield_per=FETCH)
    )
    if origins:
        statement = statement.where(col(ExchangeRow.origin).in_(origins))
    for document, stored_at, thumb, corrected in session.exec(statement):
        yield Candidate(Exchange.model_validate_json(document), thumb, corrected, stored_at)


def save_dataset(
    session: Session,
    ref: ArtifactRef,
    manifest: DatasetManifest,
    *,
    seen_until: datetime | None,
    run_id: RunId | None = None,
) -> None:
    """The same dataset built twice is one row, which knows the later time and the later run.

    Until `hold_dataset` a new one counts as withdrawn.
    """
    values = {
        "sha256": ref.sha256,
        "domain": manifest.domain,
        "size": ref.size,
        "manifest": manifest.model_dump(mode="json"),
        "seen_until": seen_until,
        "run_id": run_id,
        "created_at": utc_now(),
        "withdrawn_at": utc_now(),
    }
    statement = insert(DatasetRecord).values(values)
    seen, run = col(DatasetRecord.seen_until), col(DatasetRecord.run_id)
    later = {
        "seen_until": func.greatest(seen, statement.excluded.seen_until),
        "run_id": func.coalesce(statement.excluded.run_id, run),
        # One that was forgotten comes back to be forgotten again, should it not get as far as being held.
        "forgotten_at": None,
    }
    session.connection().execute(statement.on_conflict_do_update(index_elements=["sha256"], set_=later))


def hold_dataset(session: Session, dataset: str) -> None:
    """All of it is in the registry, and none of its exchanges was erased."""
    record = session.get_one(DatasetRecord, dataset)
    record.withdrawn_at = record.forgotten_at = None
    session.add(record)


def shared_files(session: Session, dataset: str) -> set[str]:
    """Row files of the dataset that another one, which was not withdrawn, has as well."""
    files = _row_files(session.get_one(DatasetRecord, dataset))
    others = select(DatasetRecord).where(
        col(DatasetRecord.sha256) != dataset, col(DatasetRecord.withdrawn_at).is_(None)
    )
    return {sha256 for other in session.exec(others) for sha256 in _row_files(other) & files}


def _row_files(record: DatasetRecord) -> set[str]:
    return {file.sha256 for file in DatasetManifest.model_validate(record.manifest).files}


def add_members(session: Session, dataset: str, exchange_ids: Sequence[str]) -> int:
    """Note those of the exchanges that are still there as members; returns how many are."""
    wanted, count = sorted(set(exchange_ids)), 0
    # A statement takes 65,535 parameters at most.
    for start in range(0, len(wanted), MEMBERS_AT_ONCE):
        batch = wanted[start : start + MEMBERS_AT_ONCE]
        there = session.exec(select(ExchangeRow.id).where(col(ExchangeRow.id).in_(batch))).all()
        rows = [{"dataset": dataset, "exchange_id": exchange_id} for exchange_id in there]
        if rows:
            session.connection().execute(insert(DatasetMember).on_conflict_do_nothing(), rows)
        count += len(there)
    return count


def count_sources(session: Session, exchange_ids: Sequence[str]) -> tuple[SourceCount, ...]:
    """The rows made from these exchanges, one id a row, by origin and the model that answered; most first."""
    rows, ids = Counter(exchange_ids), sorted(set(exchange_ids))
    found: Counter[tuple[str, str | None]] = Counter()
    for start in range(0, len(ids), MEMBERS_AT_ONCE):
        statement = select(
            ExchangeRow.id, ExchangeRow.origin, ExchangeRow.model_served, ExchangeRow.model_asked
        ).where(col(ExchangeRow.id).in_(ids[start : start + MEMBERS_AT_ONCE]))
        for exchange_id, origin, served, asked in session.exec(statement):
            found[origin, served or asked] += rows[exchange_id]
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0][0], one[0][1] or ""))
    return tuple(SourceCount(origin=origin, model=model, rows=count) for (origin, model), count in ordered)


def find_dataset(session: Session, sha256: str) -> DatasetManifest | None:
    record = session.get(DatasetRecord, sha256)
    return DatasetManifest.model_validate(record.manifest) if record else None


def datasets_with(session: Session, exchange_id: str) -> Sequence[str]:
    """Hashes of the datasets that have a row made from the exchange."""
    statement = select(DatasetMember.dataset).where(DatasetMember.exchange_id == exchange_id)
    return session.exec(statement.order_by(col(DatasetMember.dataset))).all()


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


def exchange_row(exchange: Exchange, document: str) -> Row:
    """The columns of an exchange; `document` is its JSON. One without a task type gets it here, in both."""
    task_type, document = labelled(exchange, document)
    return {
        "id": exchange.id,
        "captured_at": exchange.captured_at,
        "domain": plain(exchange.domain),
        "conversation_id": plain(exchange.conversation_id),
        "origin": exchange.origin.value,
        "dialect": exchange.dialect,
        "model_asked": _name(exchange.model_asked),
        "model_served": _name(exchange.model_served),
        "finish_reason": plain(exchange.finish_reason),
        "status": exchange.status,
        "complete": exchange.complete,
        "prompt_tokens": exchange.usage.prompt_tokens,
        "completion_tokens": exchange.usage.completion_tokens,
        "pair_of": plain(exchange.pair_of),
        "upstream": _name(exchange.upstream),
        "task_type": _name(task_type),
        "document": document,
        "stored_at": utc_now(),
    }


def plain(value: str | None) -> str | None:
    """Text as a column holds it: Postgres stores no NUL."""
    return value.replace("\0", "") if value else value


def _name(value: str | None) -> str | None:
    # Nor an entry of some 2 KB in an index.
    return (plain(value) or "")[:LONGEST_NAME] if value else value


def _like(model: str) -> str:
    plain = re.sub(r"([%_\\])", r"\\\1", model)
    glob = plain.replace("*", "%").replace("?", "_")
    return glob if glob != plain else f"%{plain}%"
