"""What a new installation begins with: its one row, and the shipped domains. Never changes what is there already."""

from __future__ import annotations

from sqlalchemy import Engine as Database
from sqlalchemy.dialects.postgresql import insert

from forge_common import domains
from forge_common.contracts.base import utc_now
from forge_common.db.session import session_scope
from forge_registry.models import Domain, Installation


def plant(database: Database) -> None:
    with session_scope(database) as session:
        first = insert(Installation).values(id=1, pointer_revision=0)
        session.execute(first.on_conflict_do_nothing())
        for name in domains.shipped():
            now = utc_now()
            row = insert(Domain).values(id=name, document=domains.load(name), created_at=now, updated_at=now)
            session.execute(row.on_conflict_do_nothing())
