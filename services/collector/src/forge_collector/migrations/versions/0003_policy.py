"""Who may be trained on, which model belongs to which domain, and the columns that exchanges are counted by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = "collector"
TIME = sa.DateTime(timezone=True)
COUNTED = (
    "hour", "domain", "origin", "upstream", "model_asked", "model_served", "task_type", "complete", "status",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "policy_rules",
        sa.Column("pattern", sa.String, primary_key=True),
        sa.Column("eligible", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "model_rules",
        sa.Column("pattern", sa.String, primary_key=True),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        schema=SCHEMA,
    )
    op.add_column("datasets", sa.Column("seen_until", TIME), schema=SCHEMA)
    op.add_column("datasets", sa.Column("run_id", sa.String), schema=SCHEMA)
    op.add_column("exchanges", sa.Column("upstream", sa.String), schema=SCHEMA)
    op.add_column("exchanges", sa.Column("task_type", sa.String), schema=SCHEMA)
    hour = sa.Computed("date_trunc('hour', captured_at at time zone 'UTC')", persisted=True)
    op.add_column("exchanges", sa.Column("hour", sa.DateTime, hour), schema=SCHEMA)
    # By text and not as JSON, whose functions refuse documents with a NUL. A quote inside a message is escaped, so the
    # first match is the exchange's own field.
    op.execute(
        """update collector.exchanges set
            upstream = left(substring(document from '"upstream":"([^"]*)"'), 200),
            task_type = left(substring(document from '"task_type":"([^"]*)"'), 200),
            model_asked = left(model_asked, 200),
            model_served = left(model_served, 200)"""
    )
    # Equal entries share one leaf of a B-tree, so a million exchanges cost a few MB, and a count never reads the table.
    op.create_index("exchanges_counted", "exchanges", list(COUNTED), schema=SCHEMA)
    # Counting skips the table where vacuum has been; a table that only grows is otherwise visited after a fifth of it.
    op.execute(
        f"""alter table {SCHEMA}.exchanges set (
            autovacuum_vacuum_insert_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0.02)"""
    )
    op.drop_index("exchanges_by_domain", "exchanges", schema=SCHEMA)
    op.create_index("exchanges_by_domain", "exchanges", ["domain", "captured_at", "id"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_index("exchanges_by_domain", "exchanges", schema=SCHEMA)
    op.create_index("exchanges_by_domain", "exchanges", ["domain", "id"], schema=SCHEMA)
    op.drop_index("exchanges_counted", "exchanges", schema=SCHEMA)
    for column in ("hour", "task_type", "upstream"):
        op.drop_column("exchanges", column, schema=SCHEMA)
    for column in ("run_id", "seen_until"):
        op.drop_column("datasets", column, schema=SCHEMA)
    for table in ("model_rules", "policy_rules"):
        op.drop_table(table, schema=SCHEMA)
