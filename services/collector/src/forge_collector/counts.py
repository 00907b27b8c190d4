"""How many exchanges there are, by whatever a person asks, and how many of them may be trained on.

Postgres counts by everything that decides, from an index alone; who may be trained on is decided here, once for each
teacher and not for each exchange: so the policy needs no column, and a million exchanges take less than a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field
from sqlalchemy import ColumnElement, Date, Null, Select, cast, func, literal_column, null
from sqlalchemy import select as sa_select
from sqlmodel import Session, col

from forge_collector.feedback import last_words
from forge_collector.models import ExchangeRow
from forge_collector.patterns import Teacher
from forge_collector.policy import Policy
from forge_common.contracts.base import Contract, Moment
from forge_common.contracts.exchange import Origin

OK = 200
TEACHER = (ExchangeRow.origin, ExchangeRow.upstream, ExchangeRow.model_asked, ExchangeRow.model_served)


class By(StrEnum):
    """What can be counted by. Days are the caller's, by `utc_offset`; HOST is the upstream's; RULE decides who may be trained on."""

    DAY = "day"
    DOMAIN = "domain"
    ORIGIN = "origin"
    HOST = "host"
    MODEL = "model"
    TASK_TYPE = "task_type"
    KIND = "kind"
    RULE = "rule"
    ELIGIBLE = "eligible"


class CountFilter(Contract):
    """None does not filter. `since` counts from the beginning of its hour. `utc_offset` is in minutes."""

    domain: str | None = None
    origin: Origin | None = None
    since: Moment | None = None
    utc_offset: int = Field(default=0, ge=-14 * 60, le=14 * 60)

    def conditions(self) -> list[ColumnElement[bool]]:
        equal = {ExchangeRow.domain: self.domain, ExchangeRow.origin: self.origin}
        conditions = [col(column) == value for column, value in equal.items() if value is not None]
        if self.since is not None:
            hour = self.since.replace(tzinfo=None, minute=0, second=0, microsecond=0)
            conditions.append(col(ExchangeRow.hour) >= hour)
        return conditions


class Count(Contract):
    """Only what was counted by is set, beside the numbers. `eligible_exchanges` may be trained on as to who answered;

    `usable` ones are answered whole besides, `partial` ones broke off.
    """

    day: date | None = None
    domain: str | None = None
    origin: str | None = None
    host: str | None = None
    model: str | None = None
    task_type: str | None = None
    kind: str | None = None
    rule: str | None = None
    eligible: bool | None = None
    exchanges: int = 0
    partial: int = 0
    eligible_exchanges: int = 0
    usable: int = 0


class Cell(NamedTuple):
    """What exchanges have in common that are counted together. None where it was not asked for."""

    day: date | None
    domain: str
    task_type: str | None
    teacher: Teacher
    is_corrected: bool = False


@dataclass(slots=True)
class Numbers:
    """`whole` ones are complete and were answered with 200."""

    exchanges: int = 0
    partial: int = 0
    whole: int = 0

    def add(self, other: Numbers, sign: int = 1) -> None:
        self.exchanges += sign * other.exchanges
        self.partial += sign * other.partial
        self.whole += sign * other.whole


Cells = dict[Cell, Numbers]


def cells(
    session: Session, where: CountFilter, *, by: Iterable[By] = (), more: Sequence[ColumnElement[bool]] = ()
) -> Cells:
    """Everything that fits, each exchange in one cell. What a person corrected has cells of its own."""
    wanted = frozenset(by)
    counted = _cells(session, where, wanted, more, is_corrected=False)
    corrected = _cells(session, where, wanted, more, is_corrected=True)
    for cell, numbers in corrected.items():
        counted[cell._replace(is_corrected=False)].add(numbers, -1)
    return counted | corrected


def fold(cells: Cells, policy: Policy, by: Sequence[By]) -> list[Count]:
    """Cells added up by what is asked for, in its order."""
    totals: dict[tuple[object, ...], dict[str, int]] = {}
    for cell, numbers in cells.items():
        is_eligible = cell.is_corrected or policy.rule(cell.teacher).eligible
        total = totals.setdefault(tuple(_FACTS[one](cell, policy) for one in by), dict.fromkeys(_NUMBERS, 0))
        total["exchanges"] += numbers.exchanges
        total["partial"] += numbers.partial
        total["eligible_exchanges"] += numbers.exchanges * is_eligible
        total["usable"] += numbers.whole * is_eligible
    return [
        Count.model_validate(dict(zip(by, key, strict=True)) | total)
        for key, total in sorted(totals.items(), key=lambda item: tuple(map(str, item[0])))
        if total["exchanges"]
    ]


_NUMBERS = ("exchanges", "partial", "eligible_exchanges", "usable")
_FACTS: dict[By, Callable[[Cell, Policy], object]] = {
    By.DAY: lambda cell, _: cell.day,
    By.DOMAIN: lambda cell, _: cell.domain,
    By.ORIGIN: lambda cell, _: cell.teacher.origin,
    By.HOST: lambda cell, _: cell.teacher.host,
    By.MODEL: lambda cell, _: cell.teacher.served or cell.teacher.asked,
    By.TASK_TYPE: lambda cell, _: cell.task_type or "",
    By.KIND: lambda cell, policy: policy.kind(cell.teacher),
    By.RULE: lambda cell, policy: policy.rule(cell.teacher).name,
    By.ELIGIBLE: lambda cell, policy: cell.is_corrected or policy.rule(cell.teacher).eligible,
}


def _cells(
    session: Session,
    where: CountFilter,
    by: frozenset[By],
    more: Sequence[ColumnElement[bool]],
    *,
    is_corrected: bool,
) -> Cells:
    statement = _counted(where, by, more, is_corrected=is_corrected)
    found: Cells = defaultdict(Numbers)
    for row in session.connection().execute(_daily(statement, where) if By.DAY in by else statement):
        on, domain, origin, upstream, asked, served, task, *counted = tuple(row)
        cell = Cell(on, domain, task, Teacher.make(origin, upstream, asked, served), is_corrected)
        # Several rows where upstreams differ by their port only.
        found[cell].add(Numbers(*map(int, counted)))
    return found


def _counted(
    where: CountFilter, by: frozenset[By], more: Sequence[ColumnElement[bool]], *, is_corrected: bool
) -> Select[Any]:
    """Counts by hour where days are wanted, and by everything that decides."""
    complete = col(ExchangeRow.complete)
    hour = col(ExchangeRow.hour) if By.DAY in by else null()
    task_type = col(ExchangeRow.task_type) if By.TASK_TYPE in by else null()
    # In the order of the index, so that Postgres counts while it reads.
    keys: list[Any] = [hour, col(ExchangeRow.domain), *map(col, TEACHER), task_type]
    statement = (
        sa_select(
            *(key.label(name) for key, name in zip(keys, _KEYS, strict=True)),
            func.count().label("exchanges"),
            func.count().filter(~complete).label("partial"),
            func.count().filter(complete & (col(ExchangeRow.status) == OK)).label("whole"),
        )
        .where(*where.conditions(), *more)
        .group_by(*(key for key in keys if not isinstance(key, Null)))
    )
    if is_corrected:
        words = last_words()
        statement = statement.join(words, words.c.exchange_id == ExchangeRow.id).where(
            words.c.corrected != ""
        )
    return statement


def _daily(hourly: Select[Any], where: CountFilter) -> Select[Any]:
    """Hours added up to the caller's days: cheaper than asking each exchange for its day."""
    table = hourly.subquery()
    offset: ColumnElement[timedelta] = literal_column(f"interval '{where.utc_offset} minutes'")
    day = cast(table.c.hour + offset, Date)
    keys = [day, *(table.c[name] for name in _KEYS[1:])]
    numbers = [func.sum(table.c[name]) for name in ("exchanges", "partial", "whole")]
    return sa_select(*keys, *numbers).group_by(*keys)


_KEYS = ("hour", "domain", "origin", "upstream", "model_asked", "model_served", "task_type")
