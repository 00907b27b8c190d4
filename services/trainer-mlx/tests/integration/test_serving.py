"""Memory shared with a real engine: idle models are put aside when memory is short, and serving goes on."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from forge_common.errors import Cancelled
from forge_common.weights.serving import share_memory
from forge_engine.testing.running import running_engine
from forge_engine.testing.scripted_model import ENDLESS, HELLO, write_scripted_model

pytestmark = pytest.mark.integration

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("engine")
    with running_engine(folder) as running:
        client = running.client()
        for name, script in (("hello", HELLO), ("endless", ENDLESS)):
            path = write_scripted_model(folder / f"{name}.gguf", script, context=8192)
            sha = hashlib.sha256(path.read_bytes()).hexdigest()
            client.push_blob(sha, path)
            client.create(name, gguf_sha=sha)
        yield running


def loaded(client) -> list[str]:
    return [tag.name for tag in client.ps()]


def test_idle_models_are_put_aside_when_memory_is_short_and_answer_when_asked_again(engine):
    client, said = engine.client(), []
    client.chat("hello", ASK)

    asked = share_memory(engine.url, lambda: False, said.append)

    assert asked == ("hello:latest",)
    assert loaded(client) == []
    assert "hello:latest" in said[0]
    assert client.chat("hello", ASK).text == "hello world"


def test_a_run_that_is_called_off_does_not_wait_for_memory(engine):
    engine.client().chat("hello", ASK)
    looks = iter([False])

    def is_enough():
        for look in looks:
            return look
        raise Cancelled("the run was cancelled")

    with pytest.raises(Cancelled):
        share_memory(engine.url, is_enough, lambda _: None)


def test_with_enough_memory_nothing_is_asked_of_the_engine(engine):
    client, said = engine.client(), []
    client.chat("hello", ASK)

    assert share_memory(engine.url, lambda: True, said.append) == ()

    assert (loaded(client), said) == (["hello:latest"], [])


def test_an_answer_under_way_is_finished_first(engine):
    client, answers = engine.client(), []

    def ask() -> None:
        answers.append(client.chat("endless", ASK, options={"num_predict": 3000, "temperature": 0.0}))

    asking = threading.Thread(target=ask)
    asking.start()
    while "endless:latest" not in loaded(client):
        time.sleep(0.02)

    share_memory(engine.url, lambda: False, lambda _: None, settle_s=0.5)
    asking.join(120)

    assert answers[0].completion_tokens == 3000
    until = time.monotonic() + 10
    while "endless:latest" in loaded(client):
        assert time.monotonic() < until, "kept, although its memory was asked for"
        time.sleep(0.05)


def test_an_engine_that_is_not_there_or_elsewhere_is_left_alone(tmp_path: Path):
    said: list[str] = []

    assert share_memory("http://127.0.0.1:9", lambda: False, said.append) == ()
    assert share_memory("http://engine.test:11434", lambda: False, said.append) == ()

    assert said == []
