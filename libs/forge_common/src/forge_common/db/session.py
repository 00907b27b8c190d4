"""Engines and sessions. Only `session_scope` commits; code inside may flush."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session

from forge_common.errors import DependencyDown


class DatabaseDown(DependencyDown):
    """Postgres does not answer."""


class NotMigrated(DatabaseDown):
    """Postgres answers, and has not the tables that this release needs, or not yet."""


_MISSING = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
)


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine whose connections are checked before use, so that a restarted Postgres costs no failed request."""
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=pool_size,
        # An error's message would name the values of its statement, and these are people's words.
        hide_parameters=True,
        max_overflow=pool_size,
        # A server that vanished without a word is noticed in half a minute, not when the kernel's two hours are over.
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """One transaction: committed when the block ends, rolled back when it raises.

    Raises DatabaseDown when Postgres is away, and NotMigrated, which is one, while its tables are not there.
    """
    try:
        with Session(engine, expire_on_commit=False) as session:
            yield session
            session.commit()
    except OperationalError as error:
        raise _down(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _down(error) from error
        if isinstance(error.orig, _MISSING):
            raise NotMigrated(
                f"Postgres: {_reason(error)}", fix="its owner migrates it at its start: `forge up`"
            ) from error
        raise


@contextmanager
def try_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Whether nobody else is inside a block of that name. Held by a connection and not by a transaction, it ends with the process.

    Raises DatabaseDown.
    """
    key = func.hashtext(name)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            is_ours = bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
            try:
                yield is_ours
            finally:
                if is_ours:
                    connection.execute(select(func.pg_advisory_unlock(key)))
    except OperationalError as error:
        raise _down(error) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().splitlines()[0]


def _down(error: Exception) -> DatabaseDown:
    return DatabaseDown(f"Postgres: {_reason(error)}", fix="is it up? `forge status` says")
