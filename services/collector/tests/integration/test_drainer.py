"""From the spool to a real Postgres: what was written once is there once, and what cannot be stored stops nobody."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from forge_collector import repository
from forge_collector.drainer import Drainer
from forge_collector.frames import segments
from forge_collector.models import SCHEMA
from forge_collector.spool import Spool
from forge_common.contracts.base import utc_now
from forge_common.contracts.exchange import Exchange, Message, Usage
from forge_common.db.migrate import upgrade
from forge_common.db.session import make_engine, session_scope

pytestmark = pytest.mark.integration


def record(number: int, **fields: Any) -> bytes:
    exchange = Exchange(
        id=f"ex_{number:024x}",
        captured_at=utc_now(),
        domain="coding",
        conversation_id="conv_1",
        messages=(Message(role="user", content=f"question {number} with a NUL \0 and naïve 😀"),),
        answer=Message(role="assistant", content="answer"),
    )
    return exchange.model_copy(update=fields).model_dump_json().encode()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    upgrade(database_url, package="forge_collector", schema=SCHEMA)
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", limit_bytes=1 << 26, segment_bytes=1 << 16, fsync_s=0.001)
    yield spool
    spool.close()


@contextmanager
def draining(spool: Spool, engine: Engine, batch: int = 100) -> Iterator[Drainer]:
    drainer = Drainer(spool, engine, batch=batch, linger_s=0.001)
    drainer.start()
    try:
        assert drainer.wait_until_drained(30)
        yield drainer
    finally:
        drainer.stop()


def stored(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("select document from collector.exchanges order by id")
        return [Exchange.model_validate_json(document).id for (document,) in rows]


def test_everything_is_stored_once_and_its_segments_are_deleted(spool: Spool, engine: Engine) -> None:
    for number in range(500):
        spool.append(record(number))
    before = len(segments(spool.folder))

    with draining(spool, engine) as drainer:
        assert (drainer.stats.stored, drainer.stats.known) == (500, 0)

    assert stored(engine) == [f"ex_{number:024x}" for number in range(500)]
    assert before > 1
    assert len(segments(spool.folder)) == 1


def test_what_was_already_stored_is_known_by_its_id(spool: Spool, engine: Engine) -> None:
    with session_scope(engine) as session:
        repository.insert_exchanges(
            session, [Exchange.model_validate_json(record(number)) for number in (1, 3)]
        )
    for number in (0, 1, 2, 2, 3):
        spool.append(record(number))

    with draining(spool, engine) as drainer:
        assert (drainer.stats.stored, drainer.stats.known, drainer.stats.rejected) == (2, 2, 0)

    assert stored(engine) == [f"ex_{number:024x}" for number in range(4)]


def test_a_spool_that_is_drained_again_from_its_beginning_doubles_nothing(
    spool: Spool, engine: Engine
) -> None:
    for number in range(50):
        spool.append(record(number))
    with draining(spool, engine):
        pass
    with engine.begin() as connection:
        connection.exec_driver_sql("delete from collector.spool_position")

    with draining(spool, engine) as again:
        assert (again.stats.stored, again.stats.known) == (0, 50)

    assert len(stored(engine)) == 50


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(b"no JSON", id="no JSON"),
        pytest.param(b'{"id":"ex_1"}', id="no exchange"),
        pytest.param(record(0, usage=Usage(prompt_tokens=2**63)), id="a number that no column holds"),
        pytest.param(record(0, id="ex_\0"), id="an id that Postgres refuses"),
        pytest.param(record(0, id="".join(f"{n:x}" for n in range(4000))), id="an id that no index holds"),
    ],
)
def test_a_record_that_can_never_be_stored_is_set_aside_and_stops_nobody(
    spool: Spool, engine: Engine, poison: bytes
) -> None:
    for payload in (record(1), poison, record(2)):
        spool.append(payload)

    with draining(spool, engine) as drainer:
        assert (drainer.stats.stored, drainer.stats.rejected) == (2, 1)

    assert stored(engine) == [f"ex_{number:024x}" for number in (1, 2)]
    [aside] = (spool.folder / "rejected.jsonl").read_bytes().splitlines()
    assert aside.startswith(poison[:40])


@pytest.mark.parametrize("field", ["domain", "conversation_id", "model_asked"])
@pytest.mark.parametrize("value", ["with a \0", "x" * 10_000])
def test_an_odd_name_does_not_cost_the_exchange(spool: Spool, engine: Engine, field: str, value: str) -> None:
    spool.append(record(1, **{field: value}))

    with draining(spool, engine) as drainer:
        assert (drainer.stats.stored, drainer.stats.rejected) == (1, 0)


def test_a_commit_is_durable_whatever_the_servers_default(
    spool: Spool, engine: Engine, database_url: str
) -> None:
    name = database_url.rpartition("/")[2]
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'alter database "{name}" set synchronous_commit to off')  # type: ignore[arg-type]
    engine.dispose()

    with session_scope(engine) as session:
        assert session.connection().exec_driver_sql("show synchronous_commit").scalar() == "off"
        repository.require_durable_commit(session)
        assert session.connection().exec_driver_sql("show synchronous_commit").scalar() == "on"


def test_the_age_of_what_waits_is_known_and_gone_once_it_is_stored(
    spool: Spool, engine: Engine, database_url: str
) -> None:
    old = utc_now().replace(year=2020)
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        connection.execute("lock table collector.exchanges in exclusive mode")
        drainer = Drainer(spool, engine, batch=10, linger_s=0.001)
        drainer.start()
        spool.append(record(1, captured_at=old))
        threading.Event().wait(0.5)
        waited = drainer.waiting_s
    assert drainer.wait_until_drained(30)

    assert waited > 365 * 24 * 3600
    assert drainer.waiting_s == 0
    drainer.stop()


def test_documents_are_compressed_by_lz4_where_postgres_knows_it(engine: Engine) -> None:
    with engine.connect() as connection:
        methods = connection.exec_driver_sql(
            "select enumvals from pg_settings where name = 'default_toast_compression'"
        ).scalar()
        used = connection.exec_driver_sql(
            "select attcompression from pg_attribute where attrelid = 'collector.exchanges'::regclass and attname = 'document'"
        ).scalar()

    assert used == ("l" if "lz4" in (methods or []) else "")


def test_what_is_stored_is_the_record_as_it_was_spooled(spool: Spool, engine: Engine) -> None:
    payload = record(1)
    spool.append(payload)

    with draining(spool, engine):
        pass

    with engine.connect() as connection:
        document = connection.exec_driver_sql("select document from collector.exchanges").scalar()
    assert json.loads(payload) | {"task_type": None} == json.loads(str(document)) | {"task_type": None}
