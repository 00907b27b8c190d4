"""How the drainer stores many rows a second: documents are compressed by lz4 where Postgres was built with it."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Of the time that storing a row took, pglz took more than half. What was stored before stays readable as it is.
    op.execute(
        """do $$ begin
            execute 'alter table collector.exchanges alter column document set compression lz4';
        exception when feature_not_supported or syntax_error then
            raise notice 'documents stay compressed by pglz: this Postgres knows no lz4';
        end $$"""
    )


def downgrade() -> None:
    op.execute(
        """do $$ begin
            execute 'alter table collector.exchanges alter column document set compression default';
        exception when syntax_error then null;
        end $$"""
    )
