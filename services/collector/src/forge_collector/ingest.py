"""Exchanges that come over our own API instead of passing by: filled in, redacted, stored. The same content is one exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson
from pydantic import Field
from sqlmodel import Session

from forge_collector import repository
from forge_collector.dialects.dialect import JsonObject, as_object
from forge_collector.recorder import content_id, derived_conversation
from forge_collector.redact import STRICTEST, Numbering, redacted
from forge_common.contracts.base import Contract, ExchangeId, Moment, Slug, utc_now
from forge_common.contracts.domain import RedactionClass
from forge_common.contracts.exchange import Exchange, Origin

# What the exchanges of a domain must lose.
Redaction = Callable[[str], frozenset[RedactionClass]]


def everything(_domain: str) -> frozenset[RedactionClass]:
    return STRICTEST


class ExchangeIn(Exchange):
    """An exchange as others send it: what they leave out is filled in here."""

    id: ExchangeId | None = None  # type: ignore[assignment]
    captured_at: Moment = Field(default_factory=utc_now)
    domain: Slug | None = None  # type: ignore[assignment]
    conversation_id: str | None = None  # type: ignore[assignment]
    origin: Origin = Origin.INGEST
    finish_reason: str | None = "stop"


class IngestReceipt(Contract):
    """`known` were there already, by id; `ids` are in the order that the exchanges came in."""

    accepted: int
    known: int
    ids: tuple[ExchangeId, ...]


def ingest(
    session: Session, exchanges: Iterable[ExchangeIn], domain: str, redaction: Redaction = everything
) -> IngestReceipt:
    complete = [fill_in(exchange, domain, redaction) for exchange in exchanges]
    accepted = repository.insert_exchanges(session, complete)
    return IngestReceipt(
        accepted=accepted, known=len(complete) - accepted, ids=tuple(exchange.id for exchange in complete)
    )


def fill_in(given: ExchangeIn, domain: str, redaction: Redaction = everything) -> Exchange:
    """A whole, redacted exchange. Without an id it gets one made from its content."""
    whole = given.model_dump(mode="json", exclude_none=True)
    # Some of it may have been redacted before, as the prompt of a shadow's answer was: its numbers are taken.
    numbering = Numbering.after(orjson.dumps(whole).decode())
    fields = as_object(redacted(whole, redaction(given.domain or domain), numbering))
    fields.setdefault("domain", domain)
    fields.setdefault("conversation_id", derived_conversation(_messages(fields)))
    fields.setdefault("id", content_id(fields["domain"], fields["messages"], fields["answer"]))
    return Exchange.model_validate(fields)


def _messages(fields: JsonObject) -> list[JsonObject]:
    messages = fields["messages"]
    assert isinstance(messages, list)
    return [message for message in messages if isinstance(message, dict)]
