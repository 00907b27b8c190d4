"""Workers say how much of their memory is in use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "registry"


def upgrade() -> None:
    op.add_column("workers", sa.Column("memory_used_bytes", sa.BigInteger(), nullable=True), schema=SCHEMA)
