"""`forge data` and its views, and `forge compare`, against a real collector, as a person types them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from typer.testing import CliRunner

from forge_common.db.migrate import upgrade
from forge_common.local.process import free_port, listens

main = pytest.importorskip("forge_cli.main", reason="the command line is not installed here")
models = pytest.importorskip("forge_collector.models", reason="the collector is not installed here")
pytestmark = pytest.mark.integration

KEY = "key-for-tests"
PATIENCE_S = 240.0


class Speaker(ThreadingHTTPServer):
    """Streams `<model> says: <prompt>`, word by word, whichever model it is asked as. It knows no prices."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked_at: dict[str, float] = {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.asked_at[body["model"]] = time.monotonic()
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                for word in f"{body['model']} says: {body['messages'][-1]['content']}".split():
                    self.event(body, {"delta": {"content": f"{word} "}})
                    time.sleep(0.2)
                self.event(body, {"delta": {}, "finish_reason": "stop"})
                self.wfile.write(b"data: [DONE]\n\n")

            def event(self, body: dict[str, Any], choice: dict[str, Any]) -> None:
                chunk = {"model": body["model"], "choices": [{"index": 0, **choice}]}
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    with Speaker() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def house(
    postgres_url: str, speaker: Speaker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a collector with a database of its own. No registry."""
    name, home = f"data_{secrets.token_hex(6)}", tmp_path_factory.mktemp("house")
    server = postgres_url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    port = free_port()
    env = {
        "FORGE_HOME": str(home),
        "FORGE_KEY": KEY,
        "FORGE_DATABASE_URL": f"{postgres_url.rpartition('/')[0]}/{name}",
        "FORGE_REGISTRY_URL": "http://127.0.0.1:1",
        "FORGE_COLLECTOR_PORT": str(port),
        "FORGE_COLLECTOR_URL": f"http://127.0.0.1:{port}",
        "FORGE_GATEWAY_URL": speaker.url,
        "COLUMNS": "160",
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
def forge(house: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Types a command; gives what it printed, or with --json what it said."""
    for name, value in house.items():
        monkeypatch.setenv(name, value)
    database = house["FORGE_DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(database) as connection:
        connection.execute(
            "truncate collector.exchanges, collector.feedback, collector.policy_rules, collector.model_rules"
        )

    def run(*words: str, code: int = 0, typed: str | None = None, group: str = "data") -> Any:
        ended = CliRunner().invoke(main.app, [group, *words], input=typed)
        assert ended.exit_code == code, ended.output
        shown = ended.stdout if code == 0 else ended.output
        return json.loads(shown) if "--json" in words else " ".join(shown.split())

    return run


@pytest.fixture
def captured(forge: Callable[..., Any], house: dict[str, str], one_day: None) -> None:
    now = datetime.now(UTC)

    def exchange(number: int, model: str, age_d: int, **more: Any) -> dict[str, Any]:
        return {
            "id": f"ex_{number}", "captured_at": (now - timedelta(days=age_d)).isoformat(), "origin": "proxy",
            "model_served": model, "messages": [{"role": "user", "content": f"question [bold]{number}[/]"}],
            "answer": {"role": "assistant", "content": "\x1b[31mred\x1b[0m\u202etxet"}, **more,
        }  # fmt: skip

    rows = [exchange(i, "claude-x", age_d=i) for i in range(3)]
    rows += [exchange(3, "qwen3:8b", 1, domain="legal"), exchange(4, "qwen3:8b", 90, complete=False)]
    reply = httpx2.post(
        f"{house['FORGE_COLLECTOR_URL']}/forge/v1/exchanges",
        headers={"x-forge-key": KEY},
        json=rows,
        timeout=60,
    )
    assert reply.json()["accepted"] == 5


def test_nothing_captured_says_what_to_do(forge: Callable[..., Any]) -> None:
    assert "nothing was captured yet" in forge()
    assert "nothing fits" in forge("exchanges")
    assert "no rules" in forge("assign")


@pytest.mark.usefixtures("captured")
def test_the_overview_counts_domains_days_origins_and_whose_answers(forge: Callable[..., Any]) -> None:
    shown = forge()

    assert "5 exchanges, 5 (100 %) may be trained on" in shown
    assert "coding * 4 3 3 unknown: the registry is away" in shown
    assert "legal 1 1 1" in shown
    assert "last 30 days" in shown
    assert "4, today 1" in shown
    assert "came by proxy 5" in shown
    assert "3 answers are of teachers whose terms restrict training" in shown


@pytest.mark.usefixtures("captured")
def test_counts_by_anything_for_people_and_for_programs(forge: Callable[..., Any]) -> None:
    assert "claude-x 3 3 0" in forge("--by", "model")
    assert "qwen3:8b legal 1 1 0" in forge("--by", "model,domain", "--domain", "legal")
    assert [c["exchanges"] for c in forge("--by", "day", "--since", "7d", "--json")["exchanges"]] == [1, 2, 1]
    assert "cannot count by 'weather'" in forge("--by", "weather", code=2)
    assert "cannot read the time 'soon'" in forge("--since", "soon", code=2)


@pytest.mark.usefixtures("captured")
def test_one_command_turns_a_kind_of_teacher_off_and_one_undoes_it(forge: Callable[..., Any]) -> None:
    preview = forge("policy", "--deny", "kind=restricted", "--dry-run")
    denied = forge("policy", "--deny", "kind=restricted", "--reason", "legal said so")
    listed, overview = forge("policy"), forge()
    undone = forge("policy", "--remove", "kind=restricted")

    assert "coding: 3 would be left out of datasets" in preview
    assert "coding: 3 are left out of datasets" in denied
    assert "kind=restricted no 3 legal said so" in listed
    assert "5 exchanges, 2 (40 %) may be trained on" in overview
    assert "coding: 3 are trained on again" in undone
    assert "5 (100 %)" in forge()


def test_mistakes_are_named_with_what_to_do(forge: Callable[..., Any]) -> None:
    assert "one change at a time" in forge("policy", "--allow", "a", "--deny", "b", code=2)
    assert "no kind is called 'proprietary'" in forge("policy", "--deny", "kind=proprietary", code=2)
    assert "you have no rule 'a'" in forge("policy", "--remove", "a", code=2)
    assert "which domain?" in forge("assign", "gpt-*", code=2)
    assert "there is no exchange 'ex_nope'" in forge("exchanges", "ex_nope", code=2)
    assert "there is no exchange 'ex_nope'" in forge("feedback", "ex_nope", "--up", code=2)


@pytest.mark.usefixtures("captured")
def test_exchanges_are_listed_newest_first_and_steer_no_terminal(forge: Callable[..., Any]) -> None:
    listed = forge("exchanges", "--model", "claude", "--limit", "2")
    one = forge("exchanges", "ex_0")

    assert listed.index("ex_0") < listed.index("ex_1")
    assert "ex_2" not in listed
    assert "question [bold]0[/]" in listed
    assert "--before ex_1" in listed
    assert "red" in one
    assert not any(sign in one for sign in "\x1b\u202e")
    assert "yes: your decision: Anthropic's terms forbid" in one


@pytest.mark.usefixtures("captured")
def test_a_correction_typed_in_is_kept_shown_and_trained_on(
    forge: Callable[..., Any], tmp_path: Path
) -> None:
    forge("policy", "--deny", "claude-*")
    (tmp_path / "better.txt").write_text("the better answer\n")

    noted = forge("feedback", "ex_0", "--corrected", str(tmp_path / "better.txt"), "--note", "mine")
    typed = forge("feedback", "ex_1", "--corrected", "-", "--json", typed="from stdin\n")
    shown = forge("exchanges", "ex_0")

    assert "yes: your correction is" in noted
    assert typed["exchange"]["corrected"] == "from stdin"
    assert "should have been: the better answer" in shown
    assert "not trained on" in forge("exchanges", "--model", "claude")
    assert "the answer is bad" in forge("feedback", "ex_1", "--down")
    assert "is empty" in forge("feedback", "ex_1", "--corrected", "-", typed=" \n", code=2)


def test_a_models_domain_is_assigned_listed_and_taken_back(forge: Callable[..., Any]) -> None:
    assert "claude-* legal" in forge("assign", "claude-*", "legal")
    assert forge("assign", "--json")["rules"] == [{"pattern": "claude-*", "domain": "legal"}]
    assert "no rules" in forge("assign", "claude-*", "--remove")


def test_a_prompt_is_put_to_two_models_at_once_shown_beside_each_other_and_kept(
    forge: Callable[..., Any], speaker: Speaker, house: dict[str, str]
) -> None:
    teacher = f"{speaker.url}/v1/grand-teacher"
    words = ("what is a fjord?", "--domain", "coding", "--teacher", teacher, "--model", "engie-coder:v3")

    shown = forge(*words, "--no-pick", group="compare")
    told = forge(*words, "--json", group="compare")
    httpx2.post(
        f"{house['FORGE_COLLECTOR_URL']}/forge/v1/drain", headers={"x-forge-key": KEY}, timeout=60
    ).raise_for_status()
    (first, second) = forge("pairs", "--json")["pairs"]
    kept = forge("exchanges", told["pair"]["right"])

    assert "grand-teacher says: what is a fjord?" in shown
    assert "engie-coder:v3 says: what is a fjord?" in shown
    # Each takes over a second.
    assert abs(speaker.asked_at["grand-teacher"] - speaker.asked_at["engie-coder:v3"]) < 1.0
    assert told["pair"] == {"left": first["left"], "right": first["id"]}
    assert second["prompt"] == "what is a fjord?"
    assert "engie-coder:v3 says: what is a fjord?" in kept
