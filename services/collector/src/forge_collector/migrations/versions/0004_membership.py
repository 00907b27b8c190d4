"""Which exchanges a dataset was made from, and which datasets must be forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = "collector"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "dataset_members",
        sa.Column("dataset", sa.String, primary_key=True),
        sa.Column("exchange_id", sa.String, primary_key=True),
        schema=SCHEMA,
    )
    op.create_index("dataset_members_by_exchange", "dataset_members", ["exchange_id"], schema=SCHEMA)
    op.add_column("datasets", sa.Column("withdrawn_at", TIME), schema=SCHEMA)
    op.add_column("datasets", sa.Column("forgotten_at", TIME), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("datasets", "forgotten_at", schema=SCHEMA)
    op.drop_column("datasets", "withdrawn_at", schema=SCHEMA)
    op.drop_table("dataset_members", schema=SCHEMA)
