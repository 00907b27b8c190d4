"""Alembic for one owner: each service migrates its own schema, from its own package, and nobody else's."""

from __future__ import annotations

import re
from importlib.resources import files

from sqlalchemy import Connection, Engine, MetaData, create_engine, text
from sqlalchemy.exc import ProgrammingError

_REVISION = re.compile(r'^(down_)?revision = "(\w+)"', re.MULTILINE)


def upgrade(url: str, *, package: str, schema: str) -> None:
    """Bring `schema` to the newest revision in `<package>/migrations`. Two at once are serialised by an advisory lock."""
    engine = create_engine(url)
    try:
        if _stored(engine, schema) != _newest(package):
            _upgrade(engine, package, schema)
    finally:
        engine.dispose()


def _upgrade(engine: Engine, package: str, schema: str) -> None:
    # Only here: it takes as long to load as some services to start, and most starts have nothing to migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files(package) / "migrations"))
    with engine.begin() as connection:
        connection.execute(
            text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": f"migrate:{schema}"}
        )
        connection.execute(text(f'create schema if not exists "{schema}"'))
        config.attributes["connection"] = connection
        config.attributes["schema"] = schema
        command.upgrade(config, "head")


def _stored(engine: Engine, schema: str) -> set[str]:
    """Where `schema` is; nowhere when it was never migrated."""
    try:
        with engine.connect() as connection:
            return set(connection.scalars(text(f'select version_num from "{schema}".alembic_version')))  # noqa: S608
    except ProgrammingError:
        return set()


def _newest(package: str) -> set[str]:
    """The revisions that no other one follows."""
    versions = files(package) / "migrations" / "versions"
    found = [
        revision
        for file in versions.iterdir()
        if file.name.endswith(".py")
        for revision in _REVISION.findall(file.read_text())
    ]
    followed = {name for is_followed, name in found if is_followed}
    return {name for _, name in found} - followed


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
