"""Transactions, on a real Postgres."""

import pytest
from sqlalchemy import text

from forge_common.db.session import DatabaseDown, NotMigrated, make_engine, session_scope

pytestmark = pytest.mark.integration


@pytest.fixture
def engine(database_url):
    engine = make_engine(database_url)
    with session_scope(engine) as session:
        session.execute(
            text("create table item (n int, constraint late unique (n) deferrable initially deferred)")
        )
    yield engine
    engine.dispose()


def count(engine):
    with session_scope(engine) as session:
        return session.execute(text("select count(*) from item")).scalar_one()


def test_a_block_that_raises_leaves_nothing(engine):
    with pytest.raises(KeyError), session_scope(engine) as session:
        session.execute(text("insert into item values (1)"))
        raise KeyError

    assert count(engine) == 0


def test_a_postgres_that_is_away_is_said_to_be():
    engine = make_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")

    with pytest.raises(DatabaseDown), session_scope(engine) as session:
        session.execute(text("select 1"))


@pytest.mark.parametrize(
    "query", ["select 1 from later", "select later from item", "select 1 from later.item"]
)
def test_tables_that_are_not_there_yet_are_waited_for_like_a_postgres_that_is_away(engine, query):
    with pytest.raises(NotMigrated, match="does not exist") as raised, session_scope(engine) as session:
        session.execute(text(query))

    assert isinstance(raised.value, DatabaseDown)
