"""Live traffic through a real collector is answered again by a real Celery worker, whatever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forge_common.local.process import free_port
from forge_common.local.redis import Redis
from forge_common.testing.plugin import server_folder, stopping

pytestmark = pytest.mark.integration


@pytest.fixture
def start_worker(
    comparer: Any, registry: Any, redis_url: str, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(broker_url: str = redis_url, **settings: str) -> subprocess.Popen[bytes]:
        registry.broker_url = broker_url
        env = {
            **os.environ,
            **comparer.env,
            "FORGE_HOME": str(tmp_path),
            "FORGE_COLLECTOR_URL": comparer.url,
            "FORGE_COLLECTOR_SHADOW_EVERY": "PT0.3S",
        }
        with (tmp_path / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "forge_collector", "worker"]
            running.append(subprocess.Popen(command, env=env | settings, stdout=log, stderr=log))
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def ask(comparer: Any) -> Callable[..., None]:
    """A client's request through the collector, to the cloud model that it was meant for."""

    def send(prompt: str, **more: Any) -> None:
        comparer.sdk().chat.completions.create(
            model="teacher", messages=[{"role": "user", "content": prompt}], **more
        )

    return send


def shadows(comparer: Any) -> list[dict[str, Any]]:
    return [exchange for exchange in comparer.stored() if "pair_of" in exchange]


def originals(comparer: Any) -> list[dict[str, Any]]:
    return [exchange for exchange in comparer.stored() if "pair_of" not in exchange]


def counted(comparer: Any) -> dict[str, int]:
    books = comparer.api("GET", "shadow")["books"]
    return {f"{c['state']} {c['reason'] or ''}".strip(): c["calls"] for c in books["calls"]}


@pytest.mark.usefixtures("one_day")
def test_what_the_cloud_answered_the_live_model_answers_once_more(
    comparer: Any, gateway: Any, start_worker: Any, ask: Any, eventually: Any
) -> None:
    comparer.api("PATCH", "shadow", json={"rate": 1, "concurrency": 2, "answer_tokens": 321})
    start_worker()
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}

    ask("what is a fjord?")
    ask("who is ann@mail.org?", tools=[tool], temperature=0.3, tool_choice="auto")
    comparer.drain()
    eventually(lambda: len(shadows(comparer)) == 2)
    # Were shadows shadowed, or anything called twice, it would happen now.
    time.sleep(1.5)

    made, first = shadows(comparer), originals(comparer)
    assert len(made) == len(first) == 2
    assert {s["pair_of"]: s["id"] for s in made} == {o["id"]: f"{o['id']}p" for o in first}
    for original, shadow in zip(first, made, strict=True):
        assert (shadow["origin"], shadow["domain"]) == ("compare", "coding")
        assert shadow["conversation_id"] == original["conversation_id"]
        assert shadow["messages"] == original["messages"]
        assert shadow["upstream"] == gateway.url
        assert (shadow["model_asked"], shadow["model_served"]) == ("engie-coder:latest", "engie-coder:v3")
        assert shadow["answer"]["content"].startswith("engie-coder:v3 says: ")
    bodies = sorted((asked.body for asked in gateway.asked), key=lambda body: "tools" in body)
    assert [body["messages"][0]["content"] for body in bodies] == ["what is a fjord?", "who is <EMAIL_1>?"]
    assert bodies[1]["tools"] == [tool]
    assert bodies[1]["tool_choice"] == "auto"
    assert "temperature" not in bodies[1]
    assert {body["max_tokens"] for body in bodies} == {321}
    books = comparer.api("GET", "shadow")["books"]
    assert books["tokens_today"] == sum(
        s["usage"]["prompt_tokens"] + s["usage"]["completion_tokens"] for s in made
    )


def test_what_was_answered_here_the_teacher_answers(
    comparer: Any, cloud: Any, start_worker: Any, eventually: Any
) -> None:
    comparer.api("PATCH", "shadow", json={"rate": 1})
    start_worker()

    answered = {
        "id": "ex_here",
        "origin": "gateway",
        "domain": "coding",
        "messages": [{"role": "user", "content": "what is a fjord?"}],
        "answer": {"role": "assistant", "content": "water", "thinking": "hm"},
        "finish_reason": "stop",
    }
    comparer.api("POST", "exchanges", json=answered)
    eventually(lambda: shadows(comparer))

    (shadow,) = shadows(comparer)
    assert (shadow["pair_of"], shadow["model_served"]) == ("ex_here", "grand-teacher")
    assert cloud.asked[0].authorization == "Bearer teacher-key-for-tests"
    assert cloud.asked[0].body["model"] == "grand-teacher-latest"


def test_a_busy_model_is_left_alone_for_as_long_as_it_says(
    comparer: Any, gateway: Any, start_worker: Any, ask: Any, eventually: Any
) -> None:
    gateway.refusals = [(429, "slow down, please", "3600")]
    comparer.api("PATCH", "shadow", json={"rate": 1, "concurrency": 4})
    start_worker()
    ask("one")
    comparer.drain()

    pause = eventually(lambda: comparer.api("GET", "shadow")["books"]["pauses"])[0]
    ask("two")
    comparer.drain()
    eventually(lambda: counted(comparer).get("due") == 1)
    time.sleep(1.5)
    asked_while_resting = len(gateway.asked)
    with comparer.connect() as connection:
        connection.execute("update collector.shadow_pauses set until = now()")
        connection.execute("update collector.shadow_calls set due_at = now()")
    eventually(lambda: len(shadows(comparer)) == 2)

    assert asked_while_resting == 1
    assert (pause["answerer"], pause["reason"]) == ("local", "429: slow down, please")
    assert comparer.api("GET", "shadow")["books"]["pauses"] == []


def test_a_question_that_is_refused_is_not_asked_again(
    comparer: Any, gateway: Any, start_worker: Any, ask: Any, eventually: Any
) -> None:
    gateway.refusals = [(400, "too long for me")]
    comparer.api("PATCH", "shadow", json={"rate": 1})
    start_worker()
    ask("one")
    ask("two")
    comparer.drain()

    eventually(lambda: counted(comparer) == {"answered": 1, "failed 400: too long for me": 1})

    time.sleep(1)
    assert len(gateway.asked) == 2


def test_two_workers_keep_to_one_cap(
    comparer: Any, gateway: Any, start_worker: Any, ask: Any, eventually: Any
) -> None:
    gateway.pause_s = 0.05
    comparer.api("PATCH", "shadow", json={"rate": 1, "concurrency": 2})
    for number in range(12):
        ask(f"question {number}")
    comparer.drain()
    start_worker()
    start_worker()

    eventually(lambda: len(shadows(comparer)) == 12)

    assert gateway.most_at_once == 2
    assert len(gateway.asked) == 12


def test_a_worker_that_was_killed_is_replaced_and_there_is_one_pair(
    comparer: Any, gateway: Any, start_worker: Any, ask: Any, eventually: Any
) -> None:
    gateway.hangs = True
    comparer.api("PATCH", "shadow", json={"rate": 1})
    ask("one two three")
    comparer.drain()
    killed = start_worker()
    assert gateway.hanging.wait(180)

    killed.send_signal(signal.SIGKILL)
    killed.wait()
    gateway.hangs = False
    start_worker()
    # Within the lease nobody else makes the call.
    time.sleep(3)
    asked_within_the_lease = len(gateway.asked)
    with comparer.connect() as connection:
        connection.execute("update collector.shadow_calls set lease_until = now()")
    eventually(lambda: shadows(comparer))

    assert asked_within_the_lease == 1
    assert len(gateway.asked) == 2
    assert len(shadows(comparer)) == 1


def test_a_worker_that_is_told_to_stop_gives_its_call_back_at_once(
    comparer: Any, gateway: Any, start_worker: Any, ask: Any, eventually: Any
) -> None:
    gateway.hangs = True
    comparer.api("PATCH", "shadow", json={"rate": 1})
    ask("one two three")
    comparer.drain()
    stopped = start_worker()
    assert gateway.hanging.wait(180)

    stopped.send_signal(signal.SIGTERM)
    stopped.wait(60)

    assert gateway.gone.wait(30)
    assert counted(comparer) == {"due": 1}
    gateway.hangs = False
    start_worker()
    eventually(lambda: len(shadows(comparer)) == 1)


def test_redis_away_loses_nothing(
    comparer: Any, gateway: Any, start_worker: Any, ask: Any, eventually: Any
) -> None:
    comparer.api("PATCH", "shadow", json={"rate": 1})
    with server_folder() as folder:
        server = Redis.at(folder, port=free_port(), password="test", log=folder / "redis.log")
        with stopping(server.start()):
            start_worker(server.url())
            ask("before")
            comparer.drain()
            eventually(lambda: len(shadows(comparer)) == 1)
        for number in range(5):
            ask(f"while it is away {number}")
        comparer.drain()
        with stopping(server.start()):
            eventually(lambda: len(shadows(comparer)) == 6)

    assert len(gateway.asked) == 6


def test_no_key_is_in_the_workers_log(
    comparer: Any, cloud: Any, start_worker: Any, eventually: Any, tmp_path: Path
) -> None:
    cloud.refusals = [(401, "Incorrect API key provided: teacher-key-for-tests")]
    comparer.api("PATCH", "shadow", json={"rate": 1})
    start_worker()
    answered = {
        "origin": "gateway",
        "domain": "coding",
        "messages": [{"role": "user", "content": "hello"}],
        "answer": {"role": "assistant", "content": "hello"},
    }
    comparer.api("POST", "exchanges", json=answered)

    pause = eventually(lambda: comparer.api("GET", "shadow")["books"]["pauses"])[0]

    assert pause["reason"].startswith("401: Incorrect API key provided")
    eventually(lambda: "shadow.put_off" in (tmp_path / "worker.log").read_text())
    kept = (tmp_path / "worker.log").read_text() + json.dumps(pause)
    assert "teacher-key-for-tests" not in kept
