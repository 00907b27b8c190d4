"""Exchanges, feedback, datasets, spool positions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

SCHEMA = "collector"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("captured_at", TIME, nullable=False),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("conversation_id", sa.String, nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("dialect", sa.String, nullable=False),
        sa.Column("model_asked", sa.String),
        sa.Column("model_served", sa.String),
        sa.Column("finish_reason", sa.String),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("stored_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("exchanges_by_domain", "exchanges", ["domain", "id"], schema=SCHEMA)
    op.create_index("exchanges_by_conversation", "exchanges", ["conversation_id"], schema=SCHEMA)
    op.create_table(
        "feedback",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("exchange_id", sa.String, nullable=False, index=True),
        sa.Column("thumb", sa.Integer),
        sa.Column("corrected", sa.String),
        sa.Column("note", sa.String),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("thumb in (-1, 1)", name="thumb_is_up_or_down"),
        schema=SCHEMA,
    )
    op.create_table(
        "datasets",
        sa.Column("sha256", sa.String, primary_key=True),
        sa.Column("domain", sa.String, nullable=False, index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("manifest", JSONB, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "spool_position",
        sa.Column("spool", sa.String, primary_key=True),
        sa.Column("segment", sa.BigInteger, nullable=False),
        sa.Column("byte_offset", sa.BigInteger, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in ("spool_position", "datasets", "feedback", "exchanges"):
        op.drop_table(table, schema=SCHEMA)
