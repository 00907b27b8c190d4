"""How far an import got."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"

SCHEMA = "collector"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("format", sa.String),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("receipt", JSONB, nullable=False),
        sa.Column("finished_at", TIME),
        sa.Column("updated_at", TIME, nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("imports", schema=SCHEMA)
