"""What an endpoint answers is what was committed."""

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from sqlalchemy import text

from forge_common.db.request import SessionDep
from forge_common.db.session import make_engine, session_scope
from forge_common.http.app import create_service

pytestmark = pytest.mark.integration


def test_a_commit_that_fails_is_not_answered_as_a_success(database_url):
    engine = make_engine(database_url)
    with session_scope(engine) as session:
        session.execute(
            text("create table item (n int, constraint late unique (n) deferrable initially deferred)")
        )
    router = APIRouter()

    @router.post("/items")
    def add(session: SessionDep) -> str:
        session.execute(text("insert into item values (1)"))
        return "stored"

    app = create_service("test", [router])
    app.state.database = engine
    client = TestClient(app, raise_server_exceptions=False)

    assert client.post("/items").status_code == 200
    assert client.post("/items").status_code == 500
    with session_scope(engine) as session:
        assert session.execute(text("select count(*) from item")).scalar_one() == 1
    engine.dispose()
