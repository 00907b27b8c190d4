"""An evaluation may name the version that it judges against."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "registry"


def upgrade() -> None:
    op.add_column("runs", sa.Column("opponent", sa.Integer(), nullable=True), schema=SCHEMA)
