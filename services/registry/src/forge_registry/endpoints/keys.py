"""Keys and the audit log: for administrators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlmodel import col, select

from forge_common.contracts.base import Contract, Moment, new_id, utc_now
from forge_common.db.request import SessionDep
from forge_registry import repository
from forge_registry.auth import Admin, hash_of, new_key
from forge_registry.endpoints.dependencies import EVERYWHERE, refuses
from forge_registry.errors import KeyUnknown
from forge_registry.models import Audit, Key, Scope

router = APIRouter(prefix="/v1", tags=["keys"], responses=EVERYWHERE)


class KeyRequest(Contract):
    name: str = Field(min_length=1, max_length=64)
    scope: Scope = Scope.READ


class KeyView(Contract):
    id: str
    name: str
    scope: Scope
    created_at: Moment
    revoked_at: Moment | None = None


class NewKey(KeyView):
    """`key` is shown here and never again."""

    key: str


class AuditView(Contract):
    id: int
    at: Moment
    by: str
    action: str
    subject: str
    detail: dict[str, Any]


@router.post("/keys", status_code=201)
def make_key(request: KeyRequest, who: Admin, session: SessionDep) -> NewKey:
    key = new_key()
    row = Key(
        id=new_id("key"), name=request.name, scope=request.scope, hash=hash_of(key), created_at=utc_now()
    )
    session.add(row)
    repository.audit(session, by=who.name, action="key.made", subject=row.id, scope=row.scope)
    return NewKey(**_view(row).model_dump(), key=key)


@router.get("/keys")
def list_keys(_: Admin, session: SessionDep) -> list[KeyView]:
    return [_view(row) for row in session.exec(select(Key).order_by(col(Key.created_at))).all()]


@router.delete("/keys/{key}", status_code=204, responses=refuses(KeyUnknown))
def revoke_key(key: str, who: Admin, session: SessionDep) -> None:
    row = session.get(Key, key)
    if row is None:
        raise KeyUnknown(key)
    row.revoked_at = row.revoked_at or utc_now()
    repository.audit(session, by=who.name, action="key.revoked", subject=row.id)


@router.get("/audit")
def list_audit(
    _: Admin,
    session: SessionDep,
    before: int | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AuditView]:
    """Newest first; `before` pages on."""
    query = select(Audit).order_by(col(Audit.id).desc()).limit(limit)
    rows = session.exec(query.where(col(Audit.id) < before) if before is not None else query).all()
    return [
        AuditView(
            id=row.id or 0,
            at=row.at,
            by=row.by,
            action=row.action,
            subject=row.subject,
            detail=row.detail,
        )
        for row in rows
    ]


def _view(row: Key) -> KeyView:
    return KeyView(
        id=row.id, name=row.name, scope=row.scope, created_at=row.created_at, revoked_at=row.revoked_at
    )
