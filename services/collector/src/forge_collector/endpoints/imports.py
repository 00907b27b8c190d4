"""Records of other systems."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from forge_collector.endpoints.dependencies import CollectorDep, raw_body
from forge_collector.ingest import ImportReceipt, import_lines
from forge_common.contracts.base import Slug
from forge_common.db.request import SessionDep

router = APIRouter(tags=["import"])


@router.post("/import", status_code=201)
def import_records(
    collector: CollectorDep,
    session: SessionDep,
    body: Annotated[bytes, Depends(raw_body)],
    domain: Slug | None = None,
) -> ImportReceipt:
    """JSON lines: `{"messages": […]}`, the original Forge's raw pairs, or `{"prompt", "response"}`."""
    return import_lines(session, body.splitlines(), domain or collector.active_domain())
