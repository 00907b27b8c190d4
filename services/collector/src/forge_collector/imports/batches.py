"""A batch of records as rows: read, filled in, redacted, inserted. What cannot be read or stored is named with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue, ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session

from forge_collector import repository
from forge_collector.dialects.dialect import Unreadable
from forge_collector.imports import READERS, detect
from forge_collector.imports.record import Imported, Reading, parse
from forge_collector.ingest import ExchangeIn, Redaction, everything, fill_in
from forge_collector.models import SCHEMA
from forge_collector.redact import STRICTEST, Numbering, is_clean, redacted
from forge_collector.task_type import TaskType
from forge_common.contracts.base import utc_now
from forge_common.contracts.exchange import Exchange
from forge_common.contracts.imports import ImportFormat, ImportReceipt, Record, RejectedRecord
from forge_common.logging import get_logger

log = get_logger()

LONGEST_CONVERSATION_ID = 200
_TASK_TYPES = frozenset(TaskType)
_Unstorable = (DataError, IntegrityError)
# A person's later word on the same exchange stands, and so does the one that came with it the first time.
_ADD_FEEDBACK = text(
    f"insert into {SCHEMA}.feedback (exchange_id, thumb, note, created_at) "  # noqa: S608  names of our own
    "select cast(:id as text), cast(:thumb as int), cast(:note as text), cast(:at as timestamptz) "
    f"where not exists (select 1 from {SCHEMA}.feedback where exchange_id = :id)"
)


@dataclass(frozen=True, slots=True)
class Rated:
    """An exchange with the rating that it came with."""

    at: int
    exchange: Exchange
    thumb: int | None
    note: str | None


@dataclass(slots=True)
class _Read:
    rated: list[Rated] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    rejections: list[RejectedRecord] = field(default_factory=list)


def take(
    session: Session,
    records: Iterable[Record],
    domain: str,
    chosen: ImportFormat | None,
    redaction: Redaction = everything,
) -> ImportReceipt:
    """Store what can be read of the records. Sending them again changes nothing."""
    batch = _read(records, domain, chosen, redaction)
    accepted = _store(session, batch)
    return ImportReceipt(
        accepted=accepted,
        known=len(batch.rated) - accepted,
        rejected=len(batch.rejections),
        formats=dict(batch.formats),
        reasons=dict(Counter(rejection.reason for rejection in batch.rejections)),
        rejections=tuple(batch.rejections),
    )


def _read(records: Iterable[Record], domain: str, chosen: ImportFormat | None, redaction: Redaction) -> _Read:
    batch = _Read()
    for record in records:
        try:
            reading = _reading(record, chosen, batch.formats)
            batch.rated += _rated(record.at, reading, domain, redaction)
            problem = _summary(reading.problems)
        except Unreadable as error:
            problem = error.message
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        except Exception as error:
            # A record that finds a bug of ours must not stop all that come behind it.
            log.exception("import.reader_crashed", at=record.at)
            problem = f"the reader failed on it: {type(error).__name__}"
        if problem:
            batch.rejections.append(RejectedRecord(at=record.at, reason=repository.plain(problem) or ""))
    return batch


def _reading(record: Record, chosen: ImportFormat | None, formats: Counter[str]) -> Reading:
    if record.text is None:
        raise Unreadable(record.refused or "the record has no text")
    found = parse(record.text)
    name = chosen or detect(found)
    if chosen and not READERS[chosen].recognises(found):
        raise Unreadable(f"not of the format {chosen}")
    formats[name] += 1
    return READERS[name].read(found)


def _rated(at: int, reading: Reading, domain: str, redaction: Redaction) -> Iterator[Rated]:
    ids: dict[int, str] = {}
    for imported in reading.exchanges:
        exchange = fill_in(_given(imported, ids), domain, redaction)
        # Both models said the same: that is one exchange, and no pair.
        if exchange.pair_of == exchange.id:
            continue
        ids[id(imported)] = exchange.id
        yield Rated(at, exchange, imported.thumb, imported.note)


def _given(imported: Imported, ids: dict[int, str]) -> ExchangeIn:
    fields: dict[str, JsonValue] = {
        "messages": [*imported.messages],
        "answer": imported.answer,
        "origin": imported.origin,
        "model_served": imported.model,
        "tools": [*imported.tools] if imported.tools else None,
        "conversation_id": _conversation(imported.conversation),
        "captured_at": imported.captured_at.isoformat() if imported.captured_at else None,
        "task_type": imported.task_type if imported.task_type in _TASK_TYPES else None,
        "finish_reason": imported.finish_reason,
        "complete": imported.complete,
        "usage": imported.usage,
        "sampling": imported.sampling,
        "cost_usd": imported.cost_usd,
        "first_byte_s": imported.first_byte_s,
        "total_s": imported.total_s,
        "pair_of": ids.get(id(imported.pair_of)) if imported.pair_of else None,
    }
    return ExchangeIn.model_validate({name: value for name, value in fields.items() if value is not None})


def _conversation(name: str | None) -> str | None:
    """The source's own name of the conversation; None, so that one is derived, where it would not stay what it is.

    A placeholder would make one conversation of all that are named by an address.
    """
    kept = (repository.plain(name) or "")[:LONGEST_CONVERSATION_ID]
    return kept if kept and is_clean(kept) else None


def _store(session: Session, batch: _Read) -> int:
    try:
        with session.begin_nested():
            accepted = repository.insert_exchanges(session, [one.exchange for one in batch.rated])
    except _Unstorable:
        accepted = _store_one_by_one(session, batch)
    ratings = [_feedback(one) for one in batch.rated if one.thumb or one.note]
    if ratings:
        session.connection().execute(_ADD_FEEDBACK, ratings)
    return accepted


def _store_one_by_one(session: Session, batch: _Read) -> int:
    """One of them is refused by the database: the others are kept."""
    accepted, kept = 0, []
    for one in batch.rated:
        try:
            with session.begin_nested():
                accepted += repository.insert_exchanges(session, [one.exchange])
            kept.append(one)
        except _Unstorable as error:
            # The first line only: what follows in a database's message may be the record itself.
            reason = f"the database refuses it: {str(error.orig).splitlines()[0][:200]}"
            batch.rejections.append(RejectedRecord(at=one.at, reason=reason))
    batch.rated = kept
    return accepted


def _feedback(one: Rated) -> dict[str, Any]:
    note = redacted(repository.plain(one.note), STRICTEST, Numbering()) if one.note else None
    return {"id": one.exchange.id, "thumb": one.thumb, "note": note, "at": utc_now()}


def _summary(problems: list[str]) -> str | None:
    return f"in part: {problems[0]}" if problems else None
