"""Alembic's entry: migrates on the connection that `forge_common.db.migrate.upgrade` opened."""

from __future__ import annotations

from forge_common.db.migrate import run_env
from forge_registry.models import metadata

run_env(metadata)
