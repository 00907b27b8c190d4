"""Pairs, which of two answers is better, and how much of the traffic is shadowed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from forge_collector import pairs, shadow_ledger
from forge_collector.contenders import configured_teacher
from forge_collector.endpoints.dependencies import DRAIN_PATIENCE_S, CollectorDep
from forge_collector.pairs import PairView, Tally
from forge_collector.settings import Settings
from forge_collector.shadow_ledger import (
    AnswerTokens,
    Concurrency,
    DailyTokens,
    Rate,
    ShadowBooks,
    ShadowPolicy,
)
from forge_common.contracts.base import Contract, ExchangeId, Slug
from forge_common.contracts.compare import Side
from forge_common.db.request import SessionDep
from forge_common.errors import Invalid

router = APIRouter(tags=["pairs"])


class PairPage(Contract):
    """`next` is the `before` of the next page; None on the last one. `tallies` are of all pairs, not of this page."""

    pairs: tuple[PairView, ...]
    tallies: tuple[Tally, ...]
    next: ExchangeId | None = None


class Pick(Contract):
    better: Side


class ShadowChange(Contract):
    """What is None stays."""

    rate: Rate | None = None
    concurrency: Concurrency | None = None
    daily_tokens: DailyTokens | None = None
    answer_tokens: AnswerTokens | None = None


class ShadowView(Contract):
    """`teacher` is who answers again what was answered here: its model, or why there is none."""

    books: ShadowBooks
    teacher: str


@router.get("/pairs")
def list_pairs(
    session: SessionDep,
    domain: Slug | None = None,
    before: ExchangeId | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 20,
) -> PairPage:
    """Newest first, and who won how often."""
    found = pairs.find_pairs(session, domain, limit=limit + 1, before=before)
    return PairPage(
        pairs=tuple(found[:limit]),
        tallies=tuple(pairs.tallies(session, domain)),
        next=found[limit - 1].id if len(found) > limit else None,
    )


@router.post("/pairs/{pair}/pick", status_code=201)
def pick(collector: CollectorDep, session: SessionDep, pair: str, chosen: Pick) -> Pick:
    """A thumb up for the better answer, one down for the other."""
    # A pair that was made a moment ago may still be in the spool.
    collector.drainer.wait_until_drained(DRAIN_PATIENCE_S)
    pairs.pick(session, pair, chosen.better)
    return chosen


@router.get("/shadow")
def shadow(collector: CollectorDep, session: SessionDep) -> ShadowView:
    return ShadowView(books=shadow_ledger.books(session), teacher=_teacher(collector.settings))


@router.patch("/shadow")
def change_shadow(collector: CollectorDep, session: SessionDep, change: ShadowChange) -> ShadowView:
    """A rate above 0 shadows what is stored from now on; 0 stops it and drops what was due."""
    now = shadow_ledger.policy(session).model_dump()
    wanted = ShadowPolicy.model_validate(now | change.model_dump(exclude_none=True))
    shadow_ledger.set_policy(session, wanted)
    return shadow(collector, session)


def _teacher(settings: Settings) -> str:
    try:
        teacher = configured_teacher(settings)
    except Invalid as error:
        return str(error)
    return f"{teacher.name} at {teacher.upstream}" if teacher else "not configured"
