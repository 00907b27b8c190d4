"""Whether capture works: open to everybody, since it says nothing of what was captured."""

from __future__ import annotations

from fastapi import APIRouter

from forge_collector.endpoints.dependencies import CollectorDep
from forge_collector.health import symptoms
from forge_collector.metrics import backlog_bytes
from forge_common.contracts.base import Contract

router = APIRouter(tags=["operations"])


class Health(Contract):
    """`degraded` while something is wrong, by code in `reasons`: traffic flows, and what can be kept is kept.

    `lost` counts, since this process started, what passed and was not kept; `dropped` says why the spool refused some of
    it; `rejected` records were set aside because Postgres cannot hold them.
    """

    status: str
    reasons: dict[str, str]
    domain: str
    backlog_bytes: int
    backlog_s: float
    lost: dict[str, int]
    dropped: dict[str, int]
    rejected: int


@router.get("/health")
def health(collector: CollectorDep) -> Health:
    reasons = dict(symptoms(collector.spool, collector.drainer, collector.postgres))
    return Health(
        status="degraded" if reasons else "ok",
        reasons=reasons,
        domain=collector.active_domain(),
        backlog_bytes=backlog_bytes(collector.spool, collector.drainer),
        backlog_s=round(collector.drainer.waiting_s, 3),
        lost=collector.recorder.stats.lost,
        dropped=collector.spool.stats.dropped,
        rejected=collector.drainer.stats.rejected,
    )
