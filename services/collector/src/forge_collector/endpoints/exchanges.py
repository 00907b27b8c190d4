"""Exchanges: listed, sent in by others, and what a person thinks of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from forge_collector import repository
from forge_collector.endpoints.dependencies import CollectorDep
from forge_collector.ingest import ExchangeIn, IngestReceipt, ingest
from forge_collector.models import FeedbackRow
from forge_collector.recorder import redacted
from forge_collector.redact import Numbering
from forge_collector.repository import ExchangeFilter
from forge_common.contracts.base import Contract, ExchangeId
from forge_common.contracts.exchange import Exchange
from forge_common.db.request import SessionDep

MOST_AT_ONCE = 1000

router = APIRouter(tags=["exchanges"])


class Page(Contract):
    """`next` is the `before` of the next page; None on the last one."""

    exchanges: tuple[Exchange, ...]
    next: ExchangeId | None = None


class Feedback(Contract):
    """`thumb`: 1 up, -1 down. `corrected` is what the answer should have been; it is trained on instead."""

    exchange_id: ExchangeId
    thumb: Annotated[int, Field(ge=-1, le=1)] | None = None
    corrected: str | None = None
    note: str | None = None


@router.get("/exchanges")
def list_exchanges(session: SessionDep, where: Annotated[ExchangeFilter, Query()]) -> Page:
    """Newest first. Follow `next` for more."""
    found = repository.find_exchanges(session, where, where.limit + 1)
    is_last = len(found) <= where.limit
    return Page(exchanges=tuple(found[: where.limit]), next=None if is_last else found[where.limit - 1].id)


@router.post("/exchanges", status_code=201)
def add_exchanges(
    collector: CollectorDep,
    session: SessionDep,
    given: ExchangeIn | Annotated[list[ExchangeIn], Field(max_length=MOST_AT_ONCE)],
) -> IngestReceipt:
    """Store one or many. Sending one again, by id or, where it has none, by content, changes nothing."""
    exchanges = given if isinstance(given, list) else [given]
    return ingest(session, exchanges, collector.active_domain())


@router.post("/feedback", status_code=201)
def give_feedback(session: SessionDep, feedback: Feedback) -> Feedback:
    clean = redacted(feedback.model_dump(mode="json", exclude_none=True), Numbering())
    kept = Feedback.model_validate(clean)
    repository.add_feedback(
        session,
        FeedbackRow(
            exchange_id=kept.exchange_id, thumb=kept.thumb or None, corrected=kept.corrected, note=kept.note
        ),
    )
    return kept
