"""Exchanges that come over our own API instead of passing by: filled in, redacted, stored. The same content is one exchange."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field, ValidationError
from sqlmodel import Session

from forge_collector import repository
from forge_collector.dialects.dialect import JsonObject, Unreadable
from forge_collector.imports import Imported, read_line
from forge_collector.recorder import content_id, derived_conversation, redacted
from forge_collector.redact import Numbering
from forge_common.contracts.base import Contract, ExchangeId, Moment, utc_now
from forge_common.contracts.exchange import Exchange, Origin

# One insert for so many lines.
BATCH = 500


class ExchangeIn(Exchange):
    """An exchange as others send it: what they leave out is filled in here."""

    id: ExchangeId | None = None  # type: ignore[assignment]
    captured_at: Moment = Field(default_factory=utc_now)
    domain: str | None = None  # type: ignore[assignment]
    conversation_id: str | None = None  # type: ignore[assignment]
    origin: Origin = Origin.INGEST
    finish_reason: str | None = "stop"


class IngestReceipt(Contract):
    """`known` were there already, by id; `ids` are in the order that the exchanges came in."""

    accepted: int
    known: int
    ids: tuple[ExchangeId, ...]


class RejectedLine(Contract):
    line: int
    reason: str


class ImportReceipt(Contract):
    accepted: int
    known: int
    rejected: tuple[RejectedLine, ...] = ()


def ingest(session: Session, exchanges: Iterable[ExchangeIn], domain: str) -> IngestReceipt:
    complete = [fill_in(exchange, domain) for exchange in exchanges]
    accepted = repository.insert_exchanges(session, complete)
    return IngestReceipt(
        accepted=accepted, known=len(complete) - accepted, ids=tuple(exchange.id for exchange in complete)
    )


def import_lines(session: Session, lines: Iterable[bytes], domain: str) -> ImportReceipt:
    """Store every line that can be read; name the others."""
    rejected: list[RejectedLine] = []
    batch: list[Exchange] = []
    seen = accepted = 0
    for exchange in _read(lines, domain, rejected):
        seen += 1
        batch.append(exchange)
        if len(batch) == BATCH:
            accepted += repository.insert_exchanges(session, batch)
            batch.clear()
    accepted += repository.insert_exchanges(session, batch)
    return ImportReceipt(accepted=accepted, known=seen - accepted, rejected=tuple(rejected))


def fill_in(given: ExchangeIn, domain: str) -> Exchange:
    """A whole, redacted exchange. Without an id it gets one made from its content."""
    fields = redacted(given.model_dump(mode="json", exclude_none=True), Numbering())
    fields.setdefault("domain", domain)
    fields.setdefault("conversation_id", derived_conversation(_messages(fields)))
    fields.setdefault("id", content_id(fields["domain"], fields["messages"], fields["answer"]))
    return Exchange.model_validate(fields)


def _read(lines: Iterable[bytes], domain: str, rejected: list[RejectedLine]) -> Iterator[Exchange]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _exchange(read_line(line), domain)
        except Unreadable as error:
            rejected.append(RejectedLine(line=number, reason=error.message))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            rejected.append(RejectedLine(line=number, reason=f"{where}: {first['msg']}"))


def _exchange(imported: Imported, domain: str) -> Exchange:
    given = ExchangeIn.model_validate(
        {
            "origin": Origin.IMPORT,
            "messages": imported.messages,
            "answer": imported.answer,
            "model_served": imported.model,
        }
    )
    return fill_in(given, domain)


def _messages(fields: JsonObject) -> list[JsonObject]:
    messages = fields["messages"]
    assert isinstance(messages, list)
    return [message for message in messages if isinstance(message, dict)]
