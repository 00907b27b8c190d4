"""Practice against a real engine and a real collector: what a model solves is learnt from, what it fails is told without secrets."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from forge_common import domains, nano
from forge_common.artifacts import sha256_of
from forge_common.db.migrate import upgrade
from forge_common.local.process import free_port, listens
from forge_common.weights.gguf_writer import write_base

models = pytest.importorskip("forge_collector.models", reason="the collector is not installed here")
running = pytest.importorskip("forge_engine.testing.running", reason="the engine is not installed here")
pytest.importorskip("forge_evaluator", reason="the evaluator is not installed here")
pytestmark = pytest.mark.integration

KEY = "key-for-tests"
PATIENCE_S = 240.0
MODEL = "engie-nano:v0"


@pytest.fixture(scope="module")
def house(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a collector that runs on a database of its own. No registry."""
    name, home = f"practice_{secrets.token_hex(6)}", tmp_path_factory.mktemp("house")
    server, port = postgres_url.replace("+psycopg", ""), free_port()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    env = {
        "FORGE_HOME": str(home),
        "FORGE_KEY": KEY,
        "FORGE_DATABASE_URL": f"{postgres_url.rpartition('/')[0]}/{name}",
        "FORGE_REGISTRY_URL": "http://127.0.0.1:1",
        "FORGE_COLLECTOR_PORT": str(port),
        "FORGE_COLLECTOR_URL": f"http://127.0.0.1:{port}",
    }
    upgrade(env["FORGE_DATABASE_URL"], package="forge_collector", schema=models.SCHEMA)
    with (home / "collector.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "forge_collector"], env=os.environ | env, stdout=log, stderr=log
        )
    deadline = time.monotonic() + PATIENCE_S
    while not listens(port) and time.monotonic() < deadline:
        assert process.poll() is None, (home / "collector.log").read_text()
        time.sleep(0.1)
    yield env
    process.terminate()
    process.wait(60)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def env(house: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """That of a round in a home of its own, with nothing captured yet."""
    with psycopg.connect(house["FORGE_DATABASE_URL"].replace("+psycopg", "")) as connection:
        connection.execute("truncate collector.exchanges, collector.feedback")
    return house | {"FORGE_HOME": str(tmp_path)}


@pytest.fixture(scope="module")
def nano_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded engine with the untrained nano base, which writes some functions and refuses most."""
    folder = tmp_path_factory.mktemp("practising")
    write_base(nano.base_dir(), folder / "base.gguf", quant="f16", name="nano")
    sha256 = sha256_of(folder / "base.gguf")
    with running.running_engine(folder / "engine") as engine:
        client = engine.client()
        client.push_blob(sha256, folder / "base.gguf")
        client.create(MODEL, gguf_sha=sha256, parameters={"num_ctx": 1024, "temperature": 0.0})
        yield engine.url


class Pupil:
    """A model that answers what `says(messages)` gives, over HTTP as an engine does."""

    def __init__(self, says: Callable[[list[dict[str, str]]], str]) -> None:
        self.asked: list[list[dict[str, str]]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply({"models": [{"name": MODEL, "digest": "d"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.asked.append(body["messages"])
                message = {"role": "assistant", "content": says(body["messages"])}
                self.reply({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

            def reply(self, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def practise(env: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """Runs one round; gives its result, or with `code` the error that it told."""
    document = tmp_path / "domain.json"
    document.write_text(domains.load("nano").model_dump_json())

    def run(engine_url: str, *words: object, code: int = 0) -> Any:
        command = [
            sys.executable,
            "-m",
            "forge_evaluator",
            "--events",
            "practice",
            "--document",
            str(document),
        ]
        ended = subprocess.run(
            [*command, "--model", MODEL, *map(str, words)],
            env=os.environ | env | {"FORGE_ENGINE_URL": engine_url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, ended.stdout[-2000:] + ended.stderr
        last = json.loads(ended.stdout.splitlines()[-1])
        return last["value"] if code == 0 else last

    return run


def stored(env: dict[str, str]) -> list[dict[str, Any]]:
    reply = httpx2.get(
        f"{env['FORGE_COLLECTOR_URL']}/forge/v1/exchanges",
        headers={"x-forge-key": KEY},
        params={"limit": 500},
    )
    found: list[dict[str, Any]] = reply.json()["exchanges"]
    return found


def thumbs(env: dict[str, str]) -> dict[str, int]:
    with psycopg.connect(env["FORGE_DATABASE_URL"].replace("+psycopg", "")) as connection:
        return dict(connection.execute("select exchange_id, thumb from collector.feedback").fetchall())


def traces(found: dict[str, Any]) -> list[dict[str, Any]]:
    lines = Path(found["traces"]).read_text().splitlines()
    return [entry["trace"] for line in lines if "trace" in (entry := json.loads(line))]


def test_the_nano_base_solves_some_tasks_and_what_it_solved_is_stored_once(practise, nano_engine, env):
    names = [f"nano-practice-{number:03}" for number in (1, 2, 3, 15, 23, 24, 34, 52)]
    words = [part for name in names for part in ("--task", name)]

    first = practise(nano_engine, *words, "--attempts", "2")
    second = practise(nano_engine, *words, "--attempts", "2")

    assert 0 < first["solved"] < len(names)
    assert first["solved"] + len(first["unsolved"]) == len(names)
    assert first["pass_rates"][0]["n"] == len(names)
    assert first["exchanges"] == first["new"] == first["solved"]
    kept = stored(env)
    assert len(kept) == first["solved"]
    for exchange in kept:
        assert (exchange["origin"], exchange["domain"], exchange["model_served"]) == (
            "practice",
            "nano",
            MODEL,
        )
        assert exchange["eligible"]
        assert [message["role"] for message in exchange["messages"]] == ["user"]
        assert "def " in exchange["answer"]["content"]
    solved_at_once = first["pass_rates"][0]["mean"]
    assert second["new"] == 0 or second["pass_rates"][0]["mean"] != solved_at_once


def test_a_repaired_answer_is_taught_without_the_talk_and_preferred_to_the_failed_one(practise, env):
    failing = "```python\ndef scan_item(x, width):\n    return x - width\n```"

    def says(messages: list[dict[str, str]]) -> str:
        if len(messages) == 1:
            return failing
        return "You are right, I subtracted.\n```python\ndef scan_item(x, width):\n    return x + width\n```"

    pupil = Pupil(says)
    found = practise(pupil.url, "--task", "nano-practice-001", "--attempts", "3")

    assert [rate["mean"] for rate in found["pass_rates"]] == [0.0, 100.0, 100.0]
    assert (found["repaired"], found["exchanges"], found["pairs"]) == (["nano-practice-001"], 1, 1)
    chosen, rejected = sorted(stored(env), key=lambda exchange: exchange["pair_of"] is not None)
    assert chosen["answer"]["content"] == "```python\ndef scan_item(x, width):\n    return x + width\n```"
    assert rejected["answer"]["content"] == failing
    assert rejected["pair_of"] == chosen["id"]
    assert chosen["messages"] == rejected["messages"]
    assert len(chosen["messages"]) == 1
    assert thumbs(env) == {chosen["id"]: 1, rejected["id"]: -1}


def test_a_model_is_told_of_visible_tests_and_errors_and_never_of_hidden_ones(practise, env, tmp_path):
    visible, hidden = {"args": [21], "expected": 1001}, {"args": [777], "expected": 31337, "hidden": True}
    task = {"id": "t", "prompt": "Write a function odd_one(n) as the tests want it.", "gold_answer": "",
            "kind": "code", "entry_point": "odd_one", "tests": [visible, hidden]}  # fmt: skip
    file = tmp_path / "practice.jsonl"
    file.write_text(json.dumps(task))
    answers = iter(["no code at all", "raise KeyError('sprocket')", "return 5", "return 1001", "return 2"])

    def says(_: list[dict[str, str]]) -> str:
        answer = next(answers)
        return answer if answer.startswith("no") else f"```python\ndef odd_one(n):\n    {answer}\n```"

    pupil = Pupil(says)
    found = practise(pupil.url, "--file", file, "--attempts", "5")

    told = [messages[-1]["content"] for messages in pupil.asked[1:]]
    assert "no code" in told[0]
    assert "sprocket" in told[1]
    assert "odd_one(21): expected 1001, got 5" in told[2]
    assert "fails others" in told[3]
    said = json.dumps(pupil.asked)
    assert "777" not in said
    assert "31337" not in said
    assert max(map(len, pupil.asked)) == 3
    assert found["unsolved"] == ["t"]
    assert stored(env) == []


def test_a_round_that_was_broken_off_goes_on_where_it_was(practise, env, tmp_path):
    document = tmp_path / "domain.json"
    document.write_text(domains.load("nano").model_dump_json())
    gate = threading.Event()

    def says(messages: list[dict[str, str]]) -> str:
        if len(pupil.asked) > 3:
            gate.wait(30)
        return "I do not know."

    pupil = Pupil(says)
    command = [sys.executable, "-m", "forge_evaluator", "--events", "practice", "--document", str(document)]
    child = subprocess.Popen(
        [*command, "--model", MODEL, "--tasks", "6", "--attempts", "1"],
        env=os.environ | env | {"FORGE_ENGINE_URL": pupil.url, "FORGE_EVALUATOR_CONCURRENCY": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    while len(pupil.asked) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130
    gate.set()
    before = len(pupil.asked)

    found = practise(pupil.url, "--tasks", "6", "--attempts", "1")

    assert found["tasks"] == 6
    assert len(pupil.asked) - before == 3
    assert len(traces(found)) == 6


def test_a_benchmarks_task_is_refused_before_anything_is_asked(practise, env, tmp_path):
    from importlib import resources

    benchmark = (resources.files("forge_evaluator") / "benchmarks" / "nano.jsonl").read_text().splitlines()
    file = tmp_path / "practice.jsonl"
    file.write_text(benchmark[0].replace("nano-coding-001", "mine"))
    pupil = Pupil(lambda _: "")

    told = practise(pupil.url, "--file", file, code=1)

    assert told["code"] == "practice_overlaps"
    assert "mine is 100% like nano-coding-001" in told["message"]
    assert pupil.asked == []


def test_a_dry_run_stores_nothing_and_leaves_the_history(practise, nano_engine, env, tmp_path):
    found = practise(nano_engine, "--tasks", "4", "--attempts", "1", "--dry-run")

    assert (found["tasks"], found["exchanges"], found["dry_run"]) == (4, 0, True)
    assert stored(env) == []
    assert not (tmp_path / "evaluator" / "practice" / "history.jsonl").exists()
