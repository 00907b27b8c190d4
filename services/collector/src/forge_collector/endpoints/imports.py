"""Records of other systems: imported in batches that can be sent again, looked at without being kept, or all in one body."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from forge_collector.endpoints.dependencies import CollectorDep, raw_body
from forge_collector.imports import progress
from forge_collector.imports.batches import take
from forge_common.contracts.base import Slug
from forge_common.contracts.imports import (
    MAX_RECORD_BYTES,
    Batch,
    ImportFormat,
    ImportId,
    ImportReceipt,
    ImportStart,
    ImportState,
    Preview,
    Record,
)
from forge_common.db.request import SessionDep
from forge_common.errors import CallerError

# The largest record, with every character of it escaped once more, and some room.
MOST_BYTES = 2 * MAX_RECORD_BYTES + 8 * 1024 * 1024


class RequestTooLarge(CallerError):
    """The body is longer than what is read at once."""

    status = 413


class BoundedRoute(APIRoute):
    """Reads at most so much of a body, before anything is made of it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise RequestTooLarge(
                        f"the body is longer than {MOST_BYTES} bytes",
                        fix="send fewer or smaller records at once",
                    )

            async def receive() -> Message:
                return {"type": "http.request", "body": bytes(body), "more_body": False}

            return await handle(Request(request.scope, receive))

        return bounded


router = APIRouter(tags=["import"], route_class=BoundedRoute)


@router.post("/imports/{import_id}", status_code=201)
def begin_import(session: SessionDep, import_id: ImportId, start: ImportStart) -> ImportState:
    """Begin an import, or learn how far it came. The id stands for the file as it is: a changed file has another."""
    return progress.begin(session, import_id, start)


@router.post("/imports/{import_id}/records", status_code=201)
def import_batch(
    collector: CollectorDep, session: SessionDep, import_id: ImportId, batch: Batch
) -> ImportState:
    """Store a batch and its position in one transaction. Sending it again changes nothing."""
    return progress.advance(session, import_id, batch, collector.capture_rules)


@router.post("/imports/{import_id}/finish", status_code=201)
def finish_import(session: SessionDep, import_id: ImportId) -> ImportState:
    return progress.finish(session, import_id)


@router.post("/import/preview")
def preview_import(collector: CollectorDep, session: SessionDep, preview: Preview) -> ImportReceipt:
    """What an import of these records would say. Nothing is kept."""
    receipt = take(session, preview.records, preview.domain, preview.format, collector.capture_rules)
    session.rollback()
    return receipt


@router.post("/import", status_code=201)
def import_lines(
    collector: CollectorDep,
    session: SessionDep,
    body: Annotated[bytes, Depends(raw_body)],
    domain: Slug | None = None,
    format: ImportFormat | None = None,  # noqa: A002  the name in the URL
) -> ImportReceipt:
    """JSON lines in one body, all or none of them stored. For files, `forge data import` is the way."""
    records = [_line(at, line) for at, line in enumerate(body.splitlines(), start=1) if line.strip()]
    return take(session, records, domain or collector.active_domain(), format, collector.capture_rules)


def _line(at: int, line: bytes) -> Record:
    try:
        return Record(at=at, text=line.decode())
    except UnicodeDecodeError:
        return Record(at=at, refused="not UTF-8")
