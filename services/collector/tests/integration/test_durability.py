"""Whatever is killed, stopped or damaged: what was delivered is stored, and stored once."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from forge_collector.frames import segments
from forge_common.local.process import free_port

pytestmark = pytest.mark.integration

BENCH = Path(__file__).parents[2] / "bench" / "loss_bench.py"


NONE, FEW, MANY = range(1), range(1 << 20), range(1, 1 << 20)


@pytest.mark.parametrize(
    ("what", "said", "drops"),
    [
        ("kill_9", "ok", NONE),
        ("postgres_stopped", "postgres_down", NONE),
        ("postgres_frozen", "postgres_down", NONE),
        ("postgres_and_collector", "postgres_down", NONE),
        ("redis_stopped", "ok", NONE),
        ("spool_full", "spool_full", MANY),
        # None, unless the drainer is far behind on a small disk.
        ("disk_full", "disk_", FEW),
        ("disk_full_without_postgres", "disk_full", MANY),
    ],
)
def test_the_loss_table_in_small(what: str, said: str, drops: range) -> None:
    made = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--json", "--only", what],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    if not made.stdout:
        pytest.skip("a small disk cannot be mounted here")
    row = json.loads(made.stdout)

    assert row["delivered"] == row["stored"] + row["dropped"]
    assert row["meanwhile"] > 0
    assert row["doubled"] == 0
    assert row["dropped"] in drops
    assert said in row["said"]


def talk(collector: Any, teacher: Any, prompts: list[str]) -> None:
    """Every other one streamed, each answered whole."""
    sdk = collector.sdk(timeout=20)
    for number, prompt in enumerate(prompts):
        assert ask(sdk, prompt, stream=number % 2 == 0) == teacher.answer_to(prompt)


def ask(sdk: Any, prompt: str, *, stream: bool) -> str:
    reply = sdk.chat.completions.create(
        model="m", messages=[{"role": "user", "content": prompt}], stream=stream
    )
    if not stream:
        return str(reply.choices[0].message.content)
    return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)


def prompts(collector: Any) -> Counter[str]:
    return Counter(e["messages"][-1]["content"] for e in collector.stored() if e["complete"])


def spool_of(collector: Any) -> Path:
    return Path(collector.env["FORGE_HOME"]) / "collector" / "spool"


def test_a_corrupt_tail_is_skipped_with_a_report(own_collector: Any, teacher: Any) -> None:
    talk(own_collector, teacher, ["one", "two"])
    own_collector.drain()
    own_collector.kill(signal.SIGKILL)
    _, last = segments(spool_of(own_collector))[-1]
    with last.open("ab") as file:
        file.write(os.urandom(500))
    own_collector.start()

    talk(own_collector, teacher, ["three"])

    own_collector.drain()
    assert own_collector.api("GET", "stats")["spool"]["skipped_bytes"] == 500
    assert "spool.skipped" in own_collector.log.read_text()
    assert set(prompts(own_collector)) == {"one", "two", "three"}


def test_a_corrupt_middle_costs_what_is_corrupt_and_nothing_behind_it(
    own_collector: Any, teacher: Any, database_url: str
) -> None:
    own_collector.kill(signal.SIGKILL)
    own_collector.env["FORGE_DATABASE_URL"] = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    own_collector.start()
    talk(own_collector, teacher, [f"question {number}" for number in range(6)])
    own_collector.kill(signal.SIGKILL)
    [(_, path)] = segments(spool_of(own_collector))
    data = bytearray(path.read_bytes())
    at = data.index(b"question 3")
    data[at : at + 10] = os.urandom(10)
    path.write_bytes(data)
    own_collector.env["FORGE_DATABASE_URL"] = database_url
    own_collector.start()

    own_collector.drain()

    assert set(prompts(own_collector)) == {f"question {number}" for number in (0, 1, 2, 4, 5)}
    assert own_collector.api("GET", "stats")["spool"]["skipped_bytes"] > 0


def test_health_and_metrics_say_that_exchanges_wait_and_for_how_long(
    own_collector: Any, teacher: Any
) -> None:
    own_collector.kill(signal.SIGKILL)
    own_collector.env["FORGE_DATABASE_URL"] = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    own_collector.start()
    talk(own_collector, teacher, ["one"])
    # Its drainer has tried in vain by then.
    deadline = time.monotonic() + 30
    while "postgres_down" not in own_collector.health()["reasons"] and time.monotonic() < deadline:
        time.sleep(0.1)

    health = own_collector.health()
    metrics = httpx2.get(f"{own_collector.url}/forge/metrics").text

    assert health["status"] == "degraded"
    assert "postgres_down" in health["reasons"]
    assert health["backlog_bytes"] > 0
    figures = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(figures["forge_collector_postgres_down"]) == 1
    assert float(figures["forge_collector_spool_backlog_bytes"]) > 0
    assert float(figures["forge_collector_spool_last_fsync_timestamp_seconds"]) > time.time() - 60


def test_a_second_collector_on_the_same_home_is_refused_with_a_reason(own_collector: Any) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "forge_collector"],
        env={**os.environ, **own_collector.env, "FORGE_COLLECTOR_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert second.returncode != 0
    assert "another collector writes to" in second.stderr


def until_active(collector: Any, domain: str) -> None:
    deadline = time.monotonic() + 30
    while collector.api("GET", "stats")["active_domain"] != domain and time.monotonic() < deadline:
        time.sleep(0.05)


def test_the_active_domain_follows_the_registry_and_outlives_it(own_collector: Any, registry: Any) -> None:
    until_active(own_collector, registry.active)
    time.sleep(1)
    polls = registry.polls
    registry.activate("nano")
    changed_at = time.monotonic()
    until_active(own_collector, "nano")
    # It waits at the registry for 25 s at a time: news do not wait for the next time.
    assert time.monotonic() - changed_at < 10
    assert registry.polls - polls <= 2
    own_collector.kill()
    registry.activate("coding")
    own_collector.env["FORGE_REGISTRY_URL"] = f"http://127.0.0.1:{free_port()}"
    own_collector.start()

    own_collector.sdk().chat.completions.create(model="m", messages=[{"role": "user", "content": "which?"}])

    own_collector.drain()
    assert own_collector.stored()[0]["domain"] == "nano"


def test_a_collector_that_starts_before_its_database_is_there_captures_and_catches_up(
    collector_with: Any, postgres_url: str
) -> None:
    name = f"late_{secrets.token_hex(6)}"
    collector = collector_with(f"{postgres_url.rpartition('/')[0]}/{name}")
    collector.sdk().chat.completions.create(model="m", messages=[{"role": "user", "content": "early"}])
    assert collector.health()["status"] == "degraded"

    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'create database "{name}"')

    # Its schema is made by the collector itself, before the first batch.
    deadline = time.monotonic() + 60
    while collector.health()["status"] != "ok":
        assert time.monotonic() < deadline, collector.log.read_text()
        time.sleep(0.2)
    collector.drain()
    assert [row["messages"][0]["content"] for row in collector.stored()] == ["early"]
    collector.end()
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')


def test_no_thread_dies_of_tables_that_are_not_there_yet(collector_with: Any, database_url: str) -> None:
    collector = collector_with(database_url)
    deadline = time.monotonic() + 60
    while collector.health()["status"] != "ok":
        assert time.monotonic() < deadline, collector.log.read_text()
        time.sleep(0.2)

    collector.end()

    assert "Exception in thread" not in collector.log.read_text()
