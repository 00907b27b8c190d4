"""The registry's first schema: the state machine of runs, versions and promotions, and what leaves after commit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "registry"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_table(
        "base_exports",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("quant", sa.String(), nullable=False),
        sa.Column("gguf", JSONB(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", "revision", "bundle", "quant"),
        schema=SCHEMA,
    )
    op.create_table(
        "bases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", "revision"),
        schema=SCHEMA,
    )
    op.create_table(
        "domains",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(32), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
        schema=SCHEMA,
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("payload", sa.String(), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sent_at", TIME, nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index(
        "unsent",
        "outbox",
        ["kind", "due_at"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("sent_at is null"),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("queues", JSONB(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("versions", JSONB(), nullable=False),
        sa.Column("last_seen", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        schema=SCHEMA,
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pointer_revision", sa.BigInteger(), nullable=False),
        sa.Column("active_domain", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["active_domain"],
            ["registry.domains.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("state_at", TIME, nullable=False),
        sa.Column("hardware", sa.String(32), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("base", JSONB(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=True),
        sa.Column("adapter", JSONB(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("incumbent", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(32), nullable=True),
        sa.Column("scorecard_id", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("fix", sa.String(), nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["domain"],
            ["registry.domains.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key"),
        schema=SCHEMA,
    )
    op.create_index(
        "one_active_run_per_domain",
        "runs",
        ["domain"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state not in ('promoted', 'kept', 'failed', 'cancelled')"),
    )
    op.create_index("runs_by_domain", "runs", ["domain", "created_at"], unique=False, schema=SCHEMA)
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("stage", sa.String(32), nullable=True),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("of", sa.Integer(), nullable=True),
        sa.Column("eta_s", sa.Float(), nullable=True),
        sa.Column("metrics", JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["registry.runs.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        schema=SCHEMA,
    )
    op.create_index("events_by_run", "events", ["run_id", "seq"], unique=False, schema=SCHEMA)
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("below", sa.Integer(), nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["below"],
            ["registry.promotions.id"],
        ),
        sa.ForeignKeyConstraint(
            ["domain"],
            ["registry.domains.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["registry.runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("promotions_by_domain", "promotions", ["domain", "id"], unique=False, schema=SCHEMA)
    op.create_table(
        "scorecards",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("incumbent", sa.Integer(), nullable=True),
        sa.Column("scorecard", JSONB(), nullable=False),
        sa.Column("report", JSONB(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["domain"],
            ["registry.domains.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["registry.runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index(
        op.f("ix_registry_scorecards_run_id"), "scorecards", ["run_id"], unique=False, schema=SCHEMA
    )
    op.create_table(
        "stages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("suspected_at", TIME, nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["registry.runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run_id", "kind", name="one_stage_of_a_kind_per_run"),
        schema=SCHEMA,
    )
    op.create_index(op.f("ix_registry_stages_run_id"), "stages", ["run_id"], unique=False, schema=SCHEMA)
    op.create_table(
        "versions",
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("dataset", sa.String(), nullable=True),
        sa.Column("adapter", JSONB(), nullable=True),
        sa.Column("base_gguf", JSONB(), nullable=False),
        sa.Column("adapter_gguf", JSONB(), nullable=True),
        sa.Column("fused_gguf", JSONB(), nullable=True),
        sa.Column("system_prompt", sa.String(), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("probes", JSONB(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("deployed_at", TIME, nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("probes_equal", sa.Integer(), nullable=True),
        sa.Column("probes_asked", sa.Integer(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("scorecard_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain"],
            ["registry.domains.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["registry.runs.id"],
        ),
        sa.PrimaryKeyConstraint("domain", "number"),
        schema=SCHEMA,
    )
    op.create_table(
        "attempts",
        sa.Column("stage_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("rung_at", TIME, nullable=False),
        sa.Column("rings", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("claim_id", sa.String(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=True),
        sa.Column("answer", JSONB(), nullable=True),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["stage_id"],
            ["registry.stages.id"],
        ),
        sa.PrimaryKeyConstraint("stage_id", "number"),
        schema=SCHEMA,
    )
    op.create_index(
        "open_attempts",
        "attempts",
        ["state"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("state in ('rung', 'claimed')"),
    )
    op.create_table(
        "pointers",
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column("promotion_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["domain"],
            ["registry.domains.id"],
        ),
        sa.ForeignKeyConstraint(
            ["promotion_id"],
            ["registry.promotions.id"],
        ),
        sa.ForeignKeyConstraint(["domain", "live"], ["registry.versions.domain", "registry.versions.number"]),
        sa.PrimaryKeyConstraint("domain"),
        schema=SCHEMA,
    )
