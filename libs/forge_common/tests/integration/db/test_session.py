"""Transactions, on a real Postgres."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlmodel import Session

from forge_common.db.session import DatabaseDown, make_engine, session_scope, sessions
from forge_common.http.app import create_service

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


def test_a_commit_that_fails_is_not_answered_as_a_success(engine):
    router = APIRouter()

    @router.post("/items")
    def add(session: Annotated[Session, Depends(sessions(engine), scope="function")]) -> str:
        session.execute(text("insert into item values (1)"))
        return "stored"

    client = TestClient(create_service("test", [router]), raise_server_exceptions=False)

    assert client.post("/items").status_code == 200
    assert client.post("/items").status_code == 500
    assert count(engine) == 1


def test_a_postgres_that_is_away_is_said_to_be():
    engine = make_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")

    with pytest.raises(DatabaseDown), session_scope(engine) as session:
        session.execute(text("select 1"))
