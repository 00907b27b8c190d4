"""Alembic for one owner: each service migrates its own schema, from its own package, and nobody else's."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, create_engine, text


def upgrade(url: str, *, package: str, schema: str) -> None:
    """Bring `schema` to the newest revision in `<package>/migrations`. Two at once are serialised by an advisory lock."""
    config = Config()
    config.set_main_option("script_location", str(files(package) / "migrations"))
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(
                text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": f"migrate:{schema}"}
            )
            connection.execute(text(f'create schema if not exists "{schema}"'))
            config.attributes["connection"] = connection
            config.attributes["schema"] = schema
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def run_env(metadata: MetaData) -> None:
    """What each owner's `migrations/env.py` calls: migrate on the connection that `upgrade` opened."""
    from alembic import context

    connection: Connection = context.config.attributes["connection"]
    schema: str = context.config.attributes["schema"]
    context.configure(
        connection=connection, target_metadata=metadata, version_table_schema=schema, include_schemas=True
    )
    with context.begin_transaction():
        context.run_migrations()
