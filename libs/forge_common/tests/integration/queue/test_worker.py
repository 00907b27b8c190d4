"""Doorbells over a real broker."""

import queue
import threading

import pytest
import redis

from forge_common.contracts.base import StageId
from forge_common.contracts.tasks import EVALUATE, Doorbell
from forge_common.queue.producer import BrokerDown, Producer
from forge_common.queue.worker import handles, make_worker

pytestmark = pytest.mark.integration


@pytest.fixture
def rung(redis_url):
    """What a running worker of the queue `evaluate` has heard."""
    heard: queue.Queue[str] = queue.Queue()
    app = make_worker("test", redis_url, ["evaluate"])

    @handles(app, EVALUATE)
    def hear(bell: Doorbell) -> None:
        heard.put(bell.stage_id)

    worker = app.Worker(pool="solo", concurrency=1, loglevel="ERROR", quiet=True)
    thread = threading.Thread(target=worker.start, daemon=True)
    thread.start()
    yield heard
    worker.stop()
    thread.join(10)


def test_a_doorbell_arrives_as_a_validated_payload(redis_url, rung):
    Producer(redis_url).ring(EVALUATE, Doorbell(stage_id=StageId("stage_1")))

    assert rung.get(timeout=60) == "stage_1"


def test_a_foreign_message_does_no_harm(redis_url, rung):
    producer = Producer(redis_url)
    producer.send(EVALUATE.name, "evaluate", '{"stage_id": "s", "rows": ["data has no place here"]}')
    producer.send(EVALUATE.name, "evaluate", "not json")

    producer.ring(EVALUATE, Doorbell(stage_id=StageId("stage_2")))

    assert rung.get(timeout=60) == "stage_2"


def test_a_pickled_message_is_never_loaded(redis_url):
    app = make_worker("test", redis_url, ["evaluate"])

    assert app.conf.accept_content == ["json"]


def test_a_broker_that_is_away_is_said_to_be():
    with pytest.raises(BrokerDown):
        Producer("redis://127.0.0.1:1/0").ring(EVALUATE, Doorbell(stage_id=StageId("s")))


def test_the_broker_holds_nothing_but_the_stage_id(redis_url):
    Producer(redis_url).ring(EVALUATE, Doorbell(stage_id=StageId("stage_3")))

    with redis.Redis.from_url(redis_url) as client:
        message = client.lrange("evaluate", 0, -1)[0]
        client.delete("evaluate")
    assert b"stage_3" in message or b"c3RhZ2VfMw" in message
    assert len(message) < 2000
