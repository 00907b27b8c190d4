"""Pairs: two models' answers to one prompt, and which of them a person thought better. Queries; whoever opened the session commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, text
from sqlmodel import Session

from forge_collector.models import SCHEMA, ExchangeRow, FeedbackRow
from forge_common.contracts.base import Contract, ExchangeId, Moment
from forge_common.contracts.compare import Side
from forge_common.contracts.exchange import Exchange
from forge_common.errors import NotFound

SHOWN_CHARACTERS = 300
# The right exchange answers again what the left one answered; the last thumb on each decides which is better.
_JOINED = f"""
    from {SCHEMA}.exchanges r
    join {SCHEMA}.exchanges l on l.id = r.pair_of
    left join lateral (select thumb from {SCHEMA}.feedback f where f.exchange_id = l.id and thumb is not null
                       order by f.id desc limit 1) lt on true
    left join lateral (select thumb from {SCHEMA}.feedback f where f.exchange_id = r.id and thumb is not null
                       order by f.id desc limit 1) rt on true
    where r.pair_of is not null and l.complete and r.complete
      and (cast(:domain as text) is null or l.domain = :domain)
"""  # noqa: S608  names of our own
_LEFT_MODEL = "coalesce(l.model_served, l.model_asked, '?')"
_RIGHT_MODEL = "coalesce(r.model_served, r.model_asked, '?')"
_BETTER = (
    "case sign(coalesce(lt.thumb, 0) - coalesce(rt.thumb, 0)) when 1 then 'left' when -1 then 'right' end"
)
_LIST = text(
    f"select l.document, r.id, r.captured_at, {_LEFT_MODEL} as left_model, {_RIGHT_MODEL} as right_model,"
    f" {_BETTER} as better {_JOINED}"
    " and (cast(:before as text) is null or r.id < :before) order by r.id desc limit :limit"
)
_TALLY = text(f"select {_LEFT_MODEL}, {_RIGHT_MODEL}, {_BETTER}, count(*) {_JOINED} group by 1, 2, 3")

_DECIDED = text(
    f"select l.document, r.document, {_BETTER} as better {_JOINED}"
    f' and l.domain = r.domain and {_BETTER} is not null order by r.id collate "C"'
)


class PairUnknown(NotFound):
    """No pair of that id."""


class PairView(Contract):
    """`id` is the right exchange's; `prompt` the beginning of the last user message."""

    id: ExchangeId
    left: ExchangeId
    domain: str
    captured_at: Moment
    prompt: str
    left_model: str
    right_model: str
    better: Side | None


class Tally(Contract):
    """How often two models met, and how often a person thought either better."""

    models: tuple[str, str]
    pairs: int
    better: tuple[int, int]


def find_pairs(
    session: Session, domain: str | None, *, limit: int, before: str | None = None
) -> list[PairView]:
    """Newest first."""
    asked = {"domain": domain, "limit": limit, "before": before}
    return [_view(row) for row in session.connection().execute(_LIST, asked)]


def decided(session: Session, domain: str) -> Iterator[tuple[Exchange, Exchange]]:
    """The better and the worse one of every pair that was decided, in the order of ids."""
    for left, right, better in session.connection().execute(_DECIDED, {"domain": domain}):
        both = Exchange.model_validate_json(left), Exchange.model_validate_json(right)
        yield both if better == Side.LEFT else both[::-1]


def tallies(session: Session, domain: str | None) -> list[Tally]:
    """Two models are one line, whichever of them answered first; most pairs first."""
    pairs: Counter[tuple[str, str]] = Counter()
    wins: Counter[tuple[tuple[str, str], str]] = Counter()
    for left, right, better, count in session.connection().execute(_TALLY, {"domain": domain}):
        if left == right:
            # The same model twice: nobody wins.
            continue
        models = (left, right) if left < right else (right, left)
        pairs[models] += count
        if better:
            wins[models, left if better == Side.LEFT else right] += count
    return [
        Tally(models=models, pairs=count, better=(wins[models, models[0]], wins[models, models[1]]))
        for models, count in pairs.most_common()
    ]


def pick(session: Session, pair: str, better: Side) -> None:
    """A thumb up for the better answer, one down for the other. Raises PairUnknown."""
    right = session.get(ExchangeRow, pair)
    if right is None or right.pair_of is None or session.get(ExchangeRow, right.pair_of) is None:
        raise PairUnknown(f"no pair {pair[:80]!r} is stored", fix="`forge data pairs` lists them")
    thumbs = {right.pair_of: 1, right.id: -1} if better is Side.LEFT else {right.pair_of: -1, right.id: 1}
    for exchange_id, thumb in thumbs.items():
        session.add(FeedbackRow(exchange_id=exchange_id, thumb=thumb))
    session.flush()


def _view(row: Row[Any]) -> PairView:
    left = Exchange.model_validate_json(row.document)
    prompt = next((m.text() for m in reversed(left.messages) if m.role == "user"), "")
    return PairView(
        id=row.id,
        left=left.id,
        domain=left.domain,
        captured_at=row.captured_at,
        prompt=prompt[:SHOWN_CHARACTERS],
        left_model=row.left_model,
        right_model=row.right_model,
        better=row.better,
    )
