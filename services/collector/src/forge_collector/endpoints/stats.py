"""What was captured, whether it flows, and the wait until it has arrived."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import JsonValue

from forge_collector import repository
from forge_collector.endpoints.dependencies import DRAIN_PATIENCE_S, CollectorDep
from forge_collector.metrics import backlog_bytes
from forge_common.contracts.base import Contract
from forge_common.db.request import SessionDep
from forge_common.errors import ForgeError

open_router = APIRouter(tags=["operations"])
router = APIRouter(tags=["stats"])


class Health(Contract):
    """`degraded` while Postgres is away: traffic flows and the spool keeps it."""

    status: str
    domain: str
    backlog_bytes: int
    lost: dict[str, int]


class Count(Contract):
    domain: str
    origin: str
    exchanges: int
    partial: int


class Stats(Contract):
    """`exchanges` is what Postgres has; the others count since this process started."""

    active_domain: str
    exchanges: tuple[Count, ...]
    capture: dict[str, JsonValue]
    spool: dict[str, JsonValue]
    drainer: dict[str, JsonValue]
    backlog_bytes: int


class Drained(Contract):
    drained: bool


@open_router.get("/health")
def health(collector: CollectorDep) -> Health:
    try:
        collector.check_postgres()
        status = "ok"
    except ForgeError:
        status = "degraded"
    return Health(
        status=status,
        domain=collector.active_domain(),
        backlog_bytes=backlog_bytes(collector.spool, collector.drainer),
        lost=collector.recorder.stats.lost,
    )


@router.get("/stats")
def stats(collector: CollectorDep, session: SessionDep) -> Stats:
    return Stats(
        active_domain=collector.active_domain(),
        exchanges=tuple(
            Count(domain=domain, origin=origin, exchanges=total, partial=partial)
            for domain, origin, total, partial in repository.counts(session)
        ),
        capture=asdict(collector.recorder.stats),
        spool=asdict(collector.spool.stats) | {"bytes_on_disk": collector.spool.bytes_on_disk},
        drainer=asdict(collector.drainer.stats),
        backlog_bytes=backlog_bytes(collector.spool, collector.drainer),
    )


@router.post("/drain")
def drain(collector: CollectorDep) -> Drained:
    """Answers when all that was captured before this request is in Postgres, or that it took too long."""
    return Drained(drained=collector.drainer.wait_until_drained(DRAIN_PATIENCE_S))
