"""Pairs, and shadow calls: how many, which, what they used, who is left alone for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = "collector"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("exchanges", sa.Column("pair_of", sa.String), schema=SCHEMA)
    op.create_index(
        "exchanges_pairs",
        "exchanges",
        ["pair_of"],
        schema=SCHEMA,
        postgresql_where=sa.text("pair_of is not null"),
    )
    # The newest rows are looked for by a table that only grows: a summary of blocks costs the drainer next to nothing.
    op.create_index(
        "exchanges_by_storing",
        "exchanges",
        ["stored_at"],
        schema=SCHEMA,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on", "pages_per_range": 32},
    )
    _create_shadow_tables()


def _create_shadow_tables() -> None:
    op.create_table(
        "shadow_policy",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
        sa.Column("rate", sa.Float, nullable=False),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("daily_tokens", sa.BigInteger, nullable=False),
        sa.Column("answer_tokens", sa.Integer, nullable=False),
        sa.Column("switched_on_at", TIME, nullable=False),
        sa.Column("seen_until", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "shadow_calls",
        sa.Column("exchange_id", sa.String, primary_key=True),
        sa.Column("answerer", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("lease_until", TIME),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("claimed_on", sa.Date),
        sa.Column("reason", sa.String),
        schema=SCHEMA,
    )
    is_open = sa.text("state in ('due', 'claimed')")
    op.create_index("shadow_calls_open", "shadow_calls", ["due_at"], schema=SCHEMA, postgresql_where=is_open)
    op.create_index("shadow_calls_by_state", "shadow_calls", ["state", "reason"], schema=SCHEMA)
    op.create_table(
        "shadow_days",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "shadow_pauses",
        sa.Column("answerer", sa.String, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in ("shadow_pauses", "shadow_days", "shadow_calls", "shadow_policy"):
        op.drop_table(table, schema=SCHEMA)
    op.drop_index("exchanges_by_storing", "exchanges", schema=SCHEMA)
    op.drop_index("exchanges_pairs", "exchanges", schema=SCHEMA)
    op.drop_column("exchanges", "pair_of", schema=SCHEMA)
