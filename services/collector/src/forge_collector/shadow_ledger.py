"""Shadow calls, the books: which are due, who makes them, what they used today. Every change is one transaction of the caller.

A call is claimed with a lease and a fencing token and paid for in advance; so whatever is killed, nothing is answered
twice, nothing is forgotten, and the day's budget holds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import Field
from sqlalchemy import ColumnElement, and_, func, or_, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from forge_collector.models import (
    SCHEMA,
    ExchangeRow,
    ShadowCallRow,
    ShadowDayRow,
    ShadowPauseRow,
    ShadowPolicyRow,
)
from forge_collector.shadow import (
    MOST_ATTEMPTS,
    OK,
    SHADOWED,
    Answerer,
    CallState,
    CallToMake,
    pause_s,
)
from forge_common.contracts.base import Contract, Moment
from forge_common.contracts.exchange import Exchange

# Transactions that store exchanges may commit in another order than they began; none takes so long.
OVERLAP = timedelta(minutes=5)
ENROLLED_AT_ONCE = 200
# A document larger than this is beyond any model's context.
MOST_CHARACTERS = 2_000_000
_LOCK = text("select pg_advisory_xact_lock(hashtext('collector.shadow'))")
# A share of all ids, the same at every look: a raised rate adds to what a lower one took.
_SAMPLED = text(f"('x' || substr(md5({SCHEMA}.exchanges.id), 1, 8))::bit(32)::bigint < :bound")


Rate = Annotated[float, Field(ge=0, le=1)]
Concurrency = Annotated[int, Field(ge=1, le=32)]
DailyTokens = Annotated[int, Field(ge=0, le=10**12)]
AnswerTokens = Annotated[int, Field(ge=16, le=131_072)]


class ShadowPolicy(Contract):
    """How much of the live traffic the other model answers, too. A rate of 0 is off.

    `answer_tokens` is the longest answer that is asked for, `daily_tokens` what prompts and answers may use in a UTC day.
    """

    rate: Rate = 0.0
    concurrency: Concurrency = 1
    daily_tokens: DailyTokens = 200_000
    answer_tokens: AnswerTokens = 2048


class ShadowPause(Contract):
    answerer: Answerer
    until: Moment
    failures: int
    reason: str


class ShadowCount(Contract):
    state: CallState
    reason: str | None
    calls: int


class ShadowBooks(Contract):
    """`tokens_today` counts calls under way with all that they may use."""

    policy: ShadowPolicy
    tokens_today: int
    under_way: int
    pauses: tuple[ShadowPause, ...]
    calls: tuple[ShadowCount, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that is ours until the lease ends."""

    exchange: Exchange
    answerer: Answerer
    token: int
    answer_tokens: int


def policy(session: Session) -> ShadowPolicy:
    row = session.get(ShadowPolicyRow, 1)
    return (
        ShadowPolicy.model_validate(row.model_dump(include=set(ShadowPolicy.model_fields)))
        if row
        else ShadowPolicy()
    )


def set_policy(session: Session, wanted: ShadowPolicy) -> None:
    """Switched on, it begins with what is stored from now on; switched off, what was due is dropped."""
    session.connection().execute(_LOCK)
    now, before = _now(session), policy(session)
    beginning = {"seen_until": now, "switched_on_at": now}
    values = wanted.model_dump() | {"id": 1, "updated_at": now} | beginning
    changed = wanted.model_dump() | {"updated_at": now} | (beginning if before.rate == 0 else {})
    statement = insert(ShadowPolicyRow).values(values)
    session.connection().execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))
    if wanted.rate == 0:
        session.connection().execute(
            text(f"delete from {SCHEMA}.shadow_calls where state = 'due'")  # noqa: S608  names of our own
        )


def enrol(session: Session, decide: Callable[[Exchange], CallToMake]) -> int:
    """Note what `decide` says of the next sampled exchanges, each once; returns how many were looked at."""
    session.connection().execute(_LOCK)
    row = session.get(ShadowPolicyRow, 1)
    if row is None or row.rate == 0:
        return 0
    now, limits = _now(session), policy(session)
    unseen = _unseen(session, row)
    calls = [decide(Exchange.model_validate_json(document)) for document, _ in unseen]
    if calls:
        rows = [_row(call, limits, now) for call in calls]
        session.connection().execute(insert(ShadowCallRow).values(rows).on_conflict_do_nothing())
        # Not beyond now: a clock that is ahead somewhere must not hide what others store.
        row.seen_until = min(max(row.seen_until, unseen[-1][1]), now)
        session.flush()
    return len(calls)


def _unseen(session: Session, row: ShadowPolicyRow) -> Sequence[tuple[str, datetime]]:
    statement = (
        select(ExchangeRow.document, ExchangeRow.stored_at)
        .join(ShadowCallRow, col(ShadowCallRow.exchange_id) == ExchangeRow.id, isouter=True)
        .where(
            col(ExchangeRow.stored_at) >= row.seen_until - OVERLAP,
            col(ExchangeRow.stored_at) >= row.switched_on_at,
            col(ExchangeRow.origin).in_(SHADOWED),
            ExchangeRow.status == OK,
            col(ExchangeRow.complete),
            func.length(ExchangeRow.document) <= MOST_CHARACTERS,
            col(ShadowCallRow.exchange_id).is_(None),
            _SAMPLED.bindparams(bound=int(row.rate * 2**32)),
        )
        .order_by(col(ExchangeRow.stored_at))
        .limit(ENROLLED_AT_ONCE)
    )
    return session.exec(statement).all()


def _row(call: CallToMake, limits: ShadowPolicy, now: datetime) -> dict[str, object]:
    skipped = call.skipped
    if skipped is None and call.prompt_tokens + limits.answer_tokens > limits.daily_tokens:
        skipped = "larger_than_budget"
    return {
        "exchange_id": call.exchange_id,
        "answerer": call.answerer.value,
        "state": CallState.SKIPPED.value if skipped else CallState.DUE.value,
        "reason": skipped,
        "prompt_tokens": call.prompt_tokens,
        "attempts": 0,
        "token": 0,
        "reserved": 0,
        "due_at": now,
    }


def claim(session: Session, answerers: Iterable[Answerer], lease: timedelta) -> Claim | None:
    """The next call that rate, budget, concurrency and pauses allow, paid for in advance. None when there is none."""
    session.connection().execute(_LOCK)
    limits, now = policy(session), _now(session)
    if limits.rate == 0:
        return None
    _give_up(session, now)
    if _under_way(session, now) >= limits.concurrency:
        return None
    resting = {pause.answerer for pause in _pauses(session, now)}
    row = _next(session, limits, now, [a.value for a in answerers if a not in resting])
    if row is None:
        return None
    document = session.exec(select(ExchangeRow.document).where(ExchangeRow.id == row.exchange_id)).first()
    if document is None:
        # Erased meanwhile: then there is nothing to answer.
        session.delete(row)
        return None
    row.state, row.token, row.attempts = CallState.CLAIMED.value, row.token + 1, row.attempts + 1
    row.lease_until, row.claimed_on = now + lease, now.date()
    row.reserved = row.prompt_tokens + limits.answer_tokens
    _charge(session, row.claimed_on, row.reserved)
    session.flush()
    return Claim(
        Exchange.model_validate_json(document), Answerer(row.answerer), row.token, limits.answer_tokens
    )


def _next(
    session: Session, limits: ShadowPolicy, now: datetime, answerers: list[str]
) -> ShadowCallRow | None:
    left = limits.daily_tokens - _tokens_on(session, now.date())
    statement = (
        select(ShadowCallRow)
        .where(
            or_(_is_due(now), _is_silent(now)),
            col(ShadowCallRow.answerer).in_(answerers),
            ShadowCallRow.prompt_tokens + limits.answer_tokens <= left,
        )
        .order_by(col(ShadowCallRow.due_at), col(ShadowCallRow.exchange_id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return session.exec(statement).first()


def settle(session: Session, claim: Claim, *, tokens: int | None) -> bool:
    """The call is answered. `tokens` is what it used; unknown is not zero: then the advance stays. False when the claim was lost.

    Also False when the original was erased: its shadow must not outlive it.
    """
    row = _held(session, claim)
    if row is None:
        return False
    _end(session, row, CallState.ANSWERED, tokens)
    session.connection().execute(
        text(f"delete from {SCHEMA}.shadow_pauses where answerer = :answerer"),  # noqa: S608
        {"answerer": claim.answerer.value},
    )
    statement = select(ExchangeRow.id).where(ExchangeRow.id == claim.exchange.id)
    if session.exec(statement.with_for_update(key_share=True, read=True)).first() is None:
        session.delete(row)
        return False
    return True


def fail(
    session: Session,
    claim: Claim,
    reason: str,
    *,
    again: bool,
    tokens: int | None,
    counts: bool = True,
    retry_after_s: float = 0.0,
) -> None:
    """The call was not answered. `again`: later, with a longer wait each time, unless it failed often enough.

    Unless it `counts`, the call had no part in it.
    """
    row = _held(session, claim)
    if row is None:
        return
    if not counts:
        row.attempts -= 1
    if not again or row.attempts >= MOST_ATTEMPTS:
        _end(session, row, CallState.FAILED, tokens)
    else:
        wait = pause_s(row.attempts, retry_after_s=retry_after_s, chance=random.random())  # noqa: S311
        _end(session, row, CallState.DUE, tokens)
        row.due_at = _now(session) + timedelta(seconds=wait)
    row.reason = reason[:300]
    session.flush()


def give_back(session: Session, claim: Claim) -> None:
    """We are told to stop: somebody else makes the call. What it may have used stays charged."""
    row = _held(session, claim)
    if row is not None:
        row.attempts -= 1
        _end(session, row, CallState.DUE, None)


def pause(session: Session, answerer: Answerer, reason: str, *, retry_after_s: float = 0.0) -> float:
    """Leave a model alone for a while, longer each time in a row; returns the seconds."""
    session.connection().execute(_LOCK)
    now, row = _now(session), session.get(ShadowPauseRow, answerer.value)
    # Several calls that were under way together fail together: that is one failure.
    failures = row.failures + (row.until <= now) if row else 1
    wait = pause_s(failures, retry_after_s=retry_after_s, chance=random.random())  # noqa: S311
    until = max(now + timedelta(seconds=wait), row.until if row else now)
    session.merge(
        ShadowPauseRow(answerer=answerer.value, failures=failures, until=until, reason=reason[:300])
    )
    session.flush()
    return wait


def books(session: Session) -> ShadowBooks:
    now = _now(session)
    counted = (
        select(ShadowCallRow.state, ShadowCallRow.reason, func.count())
        .group_by(col(ShadowCallRow.state), col(ShadowCallRow.reason))
        .order_by(col(ShadowCallRow.state), func.count().desc())
    )
    return ShadowBooks(
        policy=policy(session),
        tokens_today=_tokens_on(session, now.date()),
        under_way=_under_way(session, now),
        pauses=tuple(_pauses(session, now)),
        calls=tuple(
            ShadowCount(state=CallState(state), reason=reason, calls=calls)
            for state, reason, calls in session.exec(counted)
        ),
    )


def _held(session: Session, claim: Claim) -> ShadowCallRow | None:
    """The claim's row, locked; None when somebody else took it over."""
    statement = (
        select(ShadowCallRow)
        .where(
            ShadowCallRow.exchange_id == claim.exchange.id,
            ShadowCallRow.state == CallState.CLAIMED.value,
            ShadowCallRow.token == claim.token,
        )
        .with_for_update()
    )
    return session.exec(statement).first()


def _end(session: Session, row: ShadowCallRow, state: CallState, tokens: int | None) -> None:
    if tokens is not None and row.claimed_on is not None:
        _charge(session, row.claimed_on, tokens - row.reserved)
    row.state, row.reserved, row.lease_until, row.reason = state.value, 0, None, None
    session.flush()


def _give_up(session: Session, now: datetime) -> None:
    """Calls whose workers died again and again, the last one just now."""
    session.connection().execute(
        update(ShadowCallRow)
        .where(_is_silent(now), col(ShadowCallRow.attempts) >= MOST_ATTEMPTS)
        .values(state=CallState.FAILED.value, reason="its workers died")
    )


def _charge(session: Session, day: date, tokens: int) -> None:
    statement = insert(ShadowDayRow).values(day=day, tokens=tokens)
    session.connection().execute(
        statement.on_conflict_do_update(
            index_elements=["day"], set_={"tokens": ShadowDayRow.tokens + statement.excluded.tokens}
        )
    )


def _tokens_on(session: Session, day: date) -> int:
    return session.exec(select(ShadowDayRow.tokens).where(ShadowDayRow.day == day)).first() or 0


def _under_way(session: Session, now: datetime) -> int:
    is_claimed = and_(
        col(ShadowCallRow.state) == CallState.CLAIMED.value, col(ShadowCallRow.lease_until) > now
    )
    return session.exec(select(func.count()).select_from(ShadowCallRow).where(is_claimed)).one()


def _pauses(session: Session, now: datetime) -> list[ShadowPause]:
    rows = session.exec(select(ShadowPauseRow).where(col(ShadowPauseRow.until) > now))
    return [ShadowPause.model_validate(row.model_dump()) for row in rows]


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(col(ShadowCallRow.state) == CallState.DUE.value, col(ShadowCallRow.due_at) <= now)


def _is_silent(now: datetime) -> ColumnElement[bool]:
    """Claimed by a worker that did not come back."""
    return and_(col(ShadowCallRow.state) == CallState.CLAIMED.value, col(ShadowCallRow.lease_until) <= now)


def _now(session: Session) -> datetime:
    """The database's clock, in UTC: workers' own may differ."""
    now: datetime = session.connection().execute(select(func.now())).scalar_one()
    return now.astimezone(UTC)
