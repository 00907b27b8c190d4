"""What people said of answers, as queries. Everything ever said is kept; here is what holds now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Subquery, case, func
from sqlalchemy import select as sa_select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlmodel import Session, col, select

from forge_collector.models import FeedbackRow

_thumb, _corrected, _id = col(FeedbackRow.thumb), col(FeedbackRow.corrected), col(FeedbackRow.id)


def last_words(exchange_ids: Sequence[str] | None = None) -> Subquery:
    """One row an exchange that anything was said of: `exchange_id`, `thumb`, `corrected`.

    A correction outlives later thumbs up and notes; a later thumb down, or an empty correction, takes it back.
    """
    taken_back = (_thumb == -1) & _corrected.is_(None)
    correction = case((taken_back, ""), else_=_corrected)
    statement = select(
        FeedbackRow.exchange_id,
        _newest(_thumb).filter(_thumb.is_not(None))[1].label("thumb"),
        _newest(correction).filter(_corrected.is_not(None) | taken_back)[1].label("corrected"),
    ).group_by(FeedbackRow.exchange_id)
    if exchange_ids is not None:
        statement = statement.where(col(FeedbackRow.exchange_id).in_(exchange_ids))
    return statement.subquery()


def said_of(session: Session, exchange_ids: Sequence[str]) -> dict[str, tuple[int | None, str | None]]:
    """Thumb and correction that hold now, of those that anything was said of."""
    words = last_words(exchange_ids)
    rows = session.connection().execute(sa_select(words.c.exchange_id, words.c.thumb, words.c.corrected))
    return {exchange_id: (thumb, corrected or None) for exchange_id, thumb, corrected in rows}


def feedback_on(session: Session, exchange_id: str) -> Sequence[FeedbackRow]:
    """All that was ever said of one exchange, oldest first."""
    return session.exec(select(FeedbackRow).where(FeedbackRow.exchange_id == exchange_id).order_by(_id)).all()


def add_feedback(session: Session, row: FeedbackRow) -> None:
    session.add(row)
    session.flush()


def _newest(value: Any) -> Any:
    return func.array_agg(aggregate_order_by(value, _id.desc()))
