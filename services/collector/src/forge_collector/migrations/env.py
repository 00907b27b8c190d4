"""Alembic's entry point for the schema `collector`."""

from forge_collector.models import metadata
from forge_common.db.migrate import run_env

run_env(metadata)
