from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from forge_common.db.migrate import upgrade
from forge_registry.models import SCHEMA, metadata

pytestmark = pytest.mark.integration


def test_the_migrated_schema_is_what_the_models_say(database_url):
    upgrade(database_url, package="forge_registry", schema=SCHEMA)

    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": SCHEMA,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            },
        )
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


def test_migrating_twice_changes_nothing(database_url):
    upgrade(database_url, package="forge_registry", schema=SCHEMA)
    upgrade(database_url, package="forge_registry", schema=SCHEMA)
