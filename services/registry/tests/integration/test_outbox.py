from __future__ import annotations

import base64
import json
import threading

import pytest
from sqlalchemy import text
from sqlmodel import select

from forge_common.contracts.base import StageId
from forge_common.contracts.runs import Hardware, RunRequest
from forge_common.contracts.tasks import PREPARE, Doorbell
from forge_common.contracts.workers import WorkerHello
from forge_common.db.session import session_scope
from forge_common.errors import DependencyDown
from forge_common.http.registry import RegistryClient
from forge_registry.models import Outbox, OutboxKind
from forge_registry.outbox import flush, forget_sent, ring_after_commit
from forge_registry.sweeper import sweep

pytestmark = pytest.mark.integration

BELL = Doorbell(stage_id=StageId("stage_1"))


@pytest.fixture
def ring(context):
    def add():
        with session_scope(context.database) as session:
            ring_after_commit(session, PREPARE, BELL)

    return add


@pytest.fixture
def rows(context):
    def read():
        with session_scope(context.database) as session:
            return session.exec(select(Outbox)).all()

    return read


def test_a_doorbell_is_in_the_queue_soon_after_the_run_is_committed(hand, queued, eventually):
    hand.domain()
    run = hand.start()

    eventually(lambda: len(queued(PREPARE.queue)) == 1)

    assert Doorbell(stage_id=run.stages[0].id).model_dump_json() in _payload(queued(PREPARE.queue)[0])


def test_a_transaction_that_is_rolled_back_rings_nothing(context, rows):
    with pytest.raises(ZeroDivisionError), session_scope(context.database) as session:
        ring_after_commit(session, PREPARE, BELL)
        1 / 0  # noqa: B018

    assert rows() == []


def test_a_row_is_sent_once_by_many_flushers(context, ring):
    for _ in range(20):
        ring()
    sent = []

    flushers = [
        threading.Thread(
            target=flush, args=(context.database, OutboxKind.BELL, lambda row: sent.append(row.id))
        )
        for _ in range(6)
    ]
    for flusher in flushers:
        flusher.start()
    for flusher in flushers:
        flusher.join()

    assert len(sent) == len(set(sent)) == 20


def test_no_transaction_is_open_while_a_row_is_sent(context, ring):
    ring()
    open_ones = []

    def send(_):
        with session_scope(context.database) as session:
            query = text(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and state like 'idle in transaction%' and pid <> pg_backend_pid()"
            )
            open_ones.append(session.execute(query).scalar_one())

    flush(context.database, OutboxKind.BELL, send)

    assert open_ones == [0]


def test_a_row_whose_sender_was_killed_is_sent_after_its_lease(context, ring, rows):
    ring()

    def die(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flush(context.database, OutboxKind.BELL, die)
    sent = []
    assert flush(context.database, OutboxKind.BELL, sent.append) == 0
    with session_scope(context.database) as session:
        session.execute(text("update registry.outbox set due_at = now()"))

    assert flush(context.database, OutboxKind.BELL, sent.append) == 1
    assert rows()[0].sent_at is not None


@pytest.fixture
def deaf(settings, serve, make) -> RegistryClient:
    """A registry whose broker is away, with one domain."""
    without = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    registry = RegistryClient(serve(without), settings.key_text)
    registry.put_domain(make.document())
    registry.hello(WorkerHello(name="trainer", service="test", queues=("train.cpu",)))
    return registry


def test_a_broker_that_is_away_delays_a_doorbell_and_loses_none(deaf, context, rows, queued, eventually):
    deaf.start_run(RunRequest(domain="tiny", hardware=Hardware.CPU))
    eventually(lambda: any(row.error for row in rows()))
    assert queued(PREPARE.queue) == []

    with session_scope(context.database) as session:
        session.execute(text("update registry.outbox set due_at = now()"))
    sweep(context)

    eventually(lambda: len(queued(PREPARE.queue)) == 1)


def test_a_refused_row_says_why_and_waits_longer_each_time(context, ring, rows):
    ring()

    def refuse(_):
        raise DependencyDown("the broker is away")

    flush(context.database, OutboxKind.BELL, refuse)

    row = rows()[0]
    assert (row.sent_at, row.tries) == (None, 1)
    assert "the broker is away" in row.error


def test_rows_that_left_a_day_ago_are_forgotten(context, ring, rows):
    ring()
    flush(context.database, OutboxKind.BELL, lambda _: None)
    ring()

    with session_scope(context.database) as session:
        session.execute(text("update registry.outbox set sent_at = sent_at - interval '25 hours'"))
        forget_sent(session)

    assert [row.sent_at for row in rows()] == [None]


def _payload(message: str) -> str:
    args, _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    return args[0]
