"""Exchanges: listed, sent in by others, and what a person thinks of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from sqlmodel import Session

from forge_collector import repository, rules_table
from forge_collector.collector import Collector
from forge_collector.endpoints.dependencies import CollectorDep
from forge_collector.feedback import add_feedback, feedback_on, said_of
from forge_collector.ingest import ExchangeIn, IngestReceipt, ingest
from forge_collector.models import ExchangeRow, FeedbackRow
from forge_collector.patterns import Teacher
from forge_collector.redact import STRICTEST, Numbering, redacted
from forge_collector.repository import ExchangeFilter
from forge_common.contracts.base import Contract, ExchangeId, Moment, Sha256
from forge_common.contracts.exchange import Exchange
from forge_common.db.request import SessionDep
from forge_common.errors import Invalid

MOST_AT_ONCE = 1000

router = APIRouter(tags=["exchanges"])


class SeenExchange(Exchange):
    """An exchange with what holds of it now: may it be trained on, which rule says so, what did a person say.

    A correction makes it eligible whoever answered: the text is the person's.
    """

    eligible: bool
    rule: str
    reason: str
    thumb: int | None = None
    corrected: str | None = None


class Page(Contract):
    """`next` is the `before` of the next page; None on the last one."""

    exchanges: tuple[SeenExchange, ...]
    next: ExchangeId | None = None


class Said(Contract):
    """One word of a person on an answer."""

    thumb: int | None = None
    corrected: str | None = None
    note: str | None = None
    at: Moment


class ExchangeView(Contract):
    """`feedback` is everything ever said, oldest first; `datasets` are the hashes of those it is a row of."""

    exchange: SeenExchange
    feedback: tuple[Said, ...] = ()
    datasets: tuple[Sha256, ...] = ()


class NothingSaid(Invalid):
    """Feedback without a thumb, a correction or a note."""


class Feedback(Contract):
    """`thumb`: 1 up, -1 down. `corrected` is what the answer should have been; it is trained on instead, and "" takes it back."""

    exchange_id: ExchangeId
    thumb: Annotated[int, Field(ge=-1, le=1)] | None = None
    corrected: str | None = None
    note: str | None = None


@router.get("/exchanges")
def list_exchanges(session: SessionDep, where: Annotated[ExchangeFilter, Query()]) -> Page:
    """Newest first. Follow `next` for more."""
    found = repository.find_exchanges(session, where, where.limit + 1)
    is_last = len(found) <= where.limit
    return Page(
        exchanges=tuple(_seen(session, found[: where.limit])),
        next=None if is_last else found[where.limit - 1].id,
    )


@router.get("/exchanges/{exchange_id}")
def show_exchange(session: SessionDep, exchange_id: str) -> ExchangeView:
    """One exchange, everything that was said of it, and the datasets that have it."""
    (exchange,) = _seen(session, [repository.find_exchange(session, exchange_id)])
    return ExchangeView(
        exchange=exchange,
        feedback=tuple(
            Said(thumb=row.thumb, corrected=row.corrected, note=row.note, at=row.created_at)
            for row in feedback_on(session, exchange_id)
        ),
        datasets=tuple(repository.datasets_with(session, exchange_id)),
    )


@router.post("/exchanges", status_code=201)
def add_exchanges(
    collector: CollectorDep,
    session: SessionDep,
    given: ExchangeIn | Annotated[list[ExchangeIn], Field(max_length=MOST_AT_ONCE)],
) -> IngestReceipt:
    """Store one or many. Sending one again, by id or, where it has none, by content, changes nothing."""
    exchanges = given if isinstance(given, list) else [given]
    return ingest(
        session,
        [_placed(collector, one) for one in exchanges],
        collector.active_domain(),
        collector.capture_rules,
    )


@router.post("/feedback", status_code=201)
def give_feedback(session: SessionDep, feedback: Feedback) -> Feedback:
    if not feedback.thumb and feedback.corrected is None and not feedback.note:
        raise NothingSaid(
            "this feedback says nothing", fix="give a thumb (1 or -1), the corrected answer, or a note"
        )
    exchange = session.get(ExchangeRow, feedback.exchange_id)
    # An address that is new here must not get the number of another one in the exchange.
    said = exchange.document if exchange else ""
    given = feedback.model_dump(mode="json", exclude_none=True)
    clean = redacted(given, STRICTEST, Numbering.after(said))
    kept = Feedback.model_validate(clean)
    add_feedback(
        session,
        FeedbackRow(
            exchange_id=kept.exchange_id,
            thumb=kept.thumb or None,
            corrected=repository.plain(kept.corrected),
            note=repository.plain(kept.note),
        ),
    )
    return kept


def _placed(collector: Collector, exchange: ExchangeIn) -> ExchangeIn:
    """In the domain of its model's rule, if it names none and there is one."""
    if exchange.domain:
        return exchange
    ruled = collector.model_rules(exchange.upstream, exchange.model_asked, exchange.model_served)
    return exchange.model_copy(update={"domain": ruled})


def _seen(session: Session, exchanges: Sequence[Exchange]) -> Iterator[SeenExchange]:
    policy = rules_table.policy(session)
    words = said_of(session, [exchange.id for exchange in exchanges])
    for exchange in exchanges:
        rule = policy.rule(Teacher.of(exchange))
        thumb, corrected = words.get(exchange.id, (None, None))
        yield SeenExchange(
            **dict(exchange),
            eligible=rule.eligible or corrected is not None,
            rule=rule.name,
            reason=rule.reason if rule.eligible or corrected is None else "you corrected the answer",
            thumb=thumb,
            corrected=corrected,
        )
