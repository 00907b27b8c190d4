"""What was captured, and the wait until it has arrived."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import JsonValue

from forge_collector import rules_table
from forge_collector.counts import By, Count, CountFilter, cells, fold
from forge_collector.endpoints.dependencies import DRAIN_PATIENCE_S, CollectorDep
from forge_collector.metrics import backlog_bytes
from forge_collector.unused import Unused, last_trained, unused
from forge_common.contracts.base import Contract
from forge_common.db.session import session_scope

router = APIRouter(tags=["stats"])


class Asked(CountFilter):
    by: tuple[By, ...] = (By.DOMAIN, By.ORIGIN)


class Stats(Contract):
    """`exchanges` are those in Postgres, counted `by` what was asked for; the last four count since this process started.

    `unused` has every domain, whatever `exchanges` are filtered by.
    """

    active_domain: str
    by: tuple[By, ...]
    exchanges: tuple[Count, ...]
    unused: tuple[Unused, ...]
    capture: dict[str, JsonValue]
    spool: dict[str, JsonValue]
    drainer: dict[str, JsonValue]
    backlog_bytes: int


class Drained(Contract):
    drained: bool


@router.get("/stats", response_model_exclude_none=True)
def stats(collector: CollectorDep, where: Annotated[Asked, Query()]) -> Stats:
    """What was captured, counted by day, domain, origin, host, model, task type, kind of teacher, rule or eligibility."""
    by = tuple(dict.fromkeys(where.by))
    with session_scope(collector.engine) as session:
        policy = rules_table.policy(session)
        found = cells(session, where, by=by)
        everything = found if not where.conditions() else cells(session, CountFilter())
    in_domain = {str(count.domain): count for count in fold(everything, policy, [By.DOMAIN])}
    # Between two transactions: nobody waits for the registry inside one.
    trained = last_trained(collector.impatient_registry, in_domain)
    with session_scope(collector.engine) as session:
        since = unused(session, policy, in_domain, trained)
    return Stats(
        active_domain=collector.active_domain(),
        by=by,
        exchanges=tuple(fold(found, policy, by)),
        unused=tuple(since),
        capture=asdict(collector.recorder.stats),
        spool=asdict(collector.spool.stats) | {"bytes_on_disk": collector.spool.bytes_on_disk},
        drainer=asdict(collector.drainer.stats),
        backlog_bytes=backlog_bytes(collector.spool, collector.drainer),
    )


@router.post("/drain")
def drain(collector: CollectorDep) -> Drained:
    """Answers when all that was captured before this request is in Postgres, or that it took too long."""
    return Drained(drained=collector.drainer.wait_until_drained(DRAIN_PATIENCE_S))
