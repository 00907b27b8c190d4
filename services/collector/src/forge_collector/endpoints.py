"""The collector's own API, below /forge/v1. Everything but health needs the installation key."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, JsonValue
from sqlmodel import Session

from forge_collector import datasets, repository
from forge_collector.collector import Collector
from forge_collector.ingest import ExchangeIn, ImportReceipt, IngestReceipt, import_lines, ingest
from forge_collector.metrics import backlog_bytes
from forge_collector.models import FeedbackRow
from forge_collector.recorder import redacted
from forge_collector.redact import Numbering
from forge_collector.repository import ExchangeFilter
from forge_collector.routing import KeyRequired
from forge_common.contracts.base import ArtifactRef, Contract, ExchangeId, Sha256, Slug
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.exchange import Exchange, Origin
from forge_common.db.session import session_scope
from forge_common.errors import ForgeError, NotFound

# What was captured a moment ago is part of a dataset that is asked for now.
DRAIN_PATIENCE_S = 10.0
MOST_AT_ONCE = 1000


class DatasetUnknown(NotFound):
    """No dataset of that hash was built here."""


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


class DatasetRequest(Contract):
    domain: Slug
    seed: int = 0
    origins: tuple[Origin, ...] = ()


class DatasetView(Contract):
    dataset: ArtifactRef
    manifest: DatasetManifest


class Drained(Contract):
    drained: bool


def the_collector(request: Request) -> Collector:
    collector: Collector = request.app.state.collector
    return collector


def open_session(request: Request) -> Iterator[Session]:
    with session_scope(request.app.state.collector.engine) as session:
        yield session


def require_key(request: Request) -> None:
    """Raises KeyRequired unless x-forge-key or the bearer token is the installation key."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    given = request.headers.get("x-forge-key") or bearer
    if not hmac.compare_digest(given.encode(), request.app.state.collector.key.encode()):
        raise KeyRequired(
            "the collector's API needs the installation key",
            fix="send it as x-forge-key; `forge keys` shows where it is",
        )


async def raw_body(request: Request) -> bytes:
    return await request.body()


CollectorDep = Annotated[Collector, Depends(the_collector)]
# Committed before the reply leaves: with FastAPI's default scope a failing commit would be answered with 200.
SessionDep = Annotated[Session, Depends(open_session, scope="function")]

open_router = APIRouter(tags=["operations"])
keyed = APIRouter(dependencies=[Depends(require_key)])


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


@keyed.get("/stats")
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


@keyed.get("/exchanges")
def list_exchanges(session: SessionDep, where: Annotated[ExchangeFilter, Query()]) -> Page:
    """Newest first. Follow `next` for more."""
    found = repository.find_exchanges(session, where, where.limit + 1)
    is_last = len(found) <= where.limit
    return Page(exchanges=tuple(found[: where.limit]), next=None if is_last else found[where.limit - 1].id)


@keyed.post("/exchanges", status_code=201)
def add_exchanges(
    collector: CollectorDep,
    session: SessionDep,
    given: ExchangeIn | Annotated[list[ExchangeIn], Field(max_length=MOST_AT_ONCE)],
) -> IngestReceipt:
    """Store one or many. Sending one again, by id or, where it has none, by content, changes nothing."""
    exchanges = given if isinstance(given, list) else [given]
    return ingest(session, exchanges, collector.active_domain())


@keyed.post("/import", status_code=201)
def import_records(
    collector: CollectorDep,
    session: SessionDep,
    body: Annotated[bytes, Depends(raw_body)],
    domain: Slug | None = None,
) -> ImportReceipt:
    """JSON lines: `{"messages": […]}`, the original Forge's raw pairs, or `{"prompt", "response"}`."""
    return import_lines(session, body.splitlines(), domain or collector.active_domain())


@keyed.post("/feedback", status_code=201)
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


@keyed.post("/datasets", status_code=201)
def build_dataset(collector: CollectorDep, request: DatasetRequest) -> DatasetView:
    """Build the domain's dataset now."""
    domain = collector.registry.domain(request.domain)
    collector.drainer.wait_until_drained(DRAIN_PATIENCE_S)
    ref, manifest = datasets.build(
        collector.engine,
        collector.artifacts,
        domain,
        benchmark=domain.benchmark,
        seed=request.seed,
        origins=request.origins,
    )
    return DatasetView(dataset=ref, manifest=manifest)


@keyed.get("/datasets/{sha256}")
def show_dataset(session: SessionDep, sha256: Sha256) -> DatasetManifest:
    manifest = repository.find_dataset(session, sha256)
    if manifest is None:
        raise DatasetUnknown(
            f"no dataset {sha256[:12]}… was built here", fix="build one: POST /forge/v1/datasets"
        )
    return manifest


@keyed.post("/drain")
def drain(collector: CollectorDep) -> Drained:
    """Answers when all that was captured before this request is in Postgres, or that it took too long."""
    return Drained(drained=collector.drainer.wait_until_drained(DRAIN_PATIENCE_S))


router = APIRouter(prefix="/v1")
router.include_router(open_router)
router.include_router(keyed)
