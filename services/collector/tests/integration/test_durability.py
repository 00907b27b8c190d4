"""Whatever is killed, stopped or damaged: what was delivered is stored, and stored once."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest

from forge_collector.spool import segments
from forge_common.local.postgres import Postgres
from forge_common.local.process import free_port
from forge_common.testing.plugin import server_folder, stopping

pytestmark = pytest.mark.integration


class Traffic:
    """Clients that talk until they are stopped; `delivered` are the prompts whose answer came whole."""

    def __init__(self, collector: Any, teacher: Any, clients: int = 4) -> None:
        self.delivered: list[str] = []
        self._collector, self._teacher = collector, teacher
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._talk, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for(self, n: int) -> None:
        deadline = time.monotonic() + 120
        while len(self.delivered) < n and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(self.delivered) >= n

    def _talk(self, client: int) -> None:
        sdk = self._collector.sdk(timeout=20)
        number = 0
        while not self._stop.is_set():
            number += 1
            prompt = f"question {number} of client {client}"
            try:
                answer = self._ask(sdk, prompt, stream=number % 2 == 0)
            except Exception:  # noqa: BLE001  the collector was killed: not delivered, asked no more
                time.sleep(0.05)
                continue
            assert answer == self._teacher.answer_to(prompt)
            self.delivered.append(prompt)

    def _ask(self, sdk: Any, prompt: str, *, stream: bool) -> str:
        reply = sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": prompt}], stream=stream
        )
        if not stream:
            return str(reply.choices[0].message.content)
        return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)


def prompts(collector: Any) -> Counter[str]:
    return Counter(e["messages"][-1]["content"] for e in collector.stored() if e["complete"])


def test_kill_9_in_the_middle_of_traffic_loses_nothing_delivered_and_doubles_nothing(
    own_collector: Any, teacher: Any
) -> None:
    with Traffic(own_collector, teacher) as traffic:
        for round_ in range(1, 4):
            traffic.wait_for(40 * round_)
            own_collector.kill(signal.SIGKILL)
            own_collector.start()
        traffic.wait_for(160)

    own_collector.drain()
    stored = prompts(own_collector)
    assert set(traffic.delivered) <= set(stored)
    ids = [e["id"] for e in own_collector.stored()]
    assert len(ids) == len(set(ids))
    # A prompt that was stored without being delivered lost only its last bytes to the kill; none was stored twice.
    assert set(stored.values()) == {1}


def test_a_stopped_postgres_stops_no_traffic_and_loses_nothing(
    own_collector_on_own_postgres: tuple[Any, Any], teacher: Any
) -> None:
    own_collector, postgres = own_collector_on_own_postgres
    with Traffic(own_collector, teacher) as traffic:
        traffic.wait_for(20)
        postgres.stop()
        before = len(traffic.delivered)
        traffic.wait_for(before + 60)
        assert own_collector.health()["status"] == "degraded"
        own_collector.kill(signal.SIGKILL)
        own_collector.start()
        traffic.wait_for(before + 100)
        postgres.start()
        traffic.wait_for(len(traffic.delivered) + 10)

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and own_collector.health()["status"] != "ok":
        time.sleep(0.1)
    own_collector.drain()
    stored = prompts(own_collector)
    assert set(traffic.delivered) <= set(stored)
    assert set(stored.values()) == {1}


def test_a_corrupt_tail_is_skipped_with_a_report(own_collector: Any, teacher: Any) -> None:
    with Traffic(own_collector, teacher, clients=1) as traffic:
        traffic.wait_for(5)
    own_collector.drain()
    own_collector.kill(signal.SIGKILL)
    spool = Path(own_collector.env["FORGE_HOME"]) / "collector" / "spool"
    _, last = segments(spool)[-1]
    with last.open("ab") as file:
        file.write(os.urandom(500))
    own_collector.start()

    with Traffic(own_collector, teacher, clients=1) as more:
        more.wait_for(3)

    own_collector.drain()
    assert own_collector.api("GET", "stats")["spool"]["skipped_bytes"] == 500
    assert "spool.skipped" in own_collector.log.read_text()
    assert set(traffic.delivered) | set(more.delivered) <= set(prompts(own_collector))


def test_a_second_collector_on_the_same_home_is_refused_with_a_reason(own_collector: Any) -> None:
    import subprocess
    import sys

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
    assert time.monotonic() - changed_at < 1
    assert registry.polls - polls <= 2
    own_collector.kill()
    registry.activate("coding")
    own_collector.env["FORGE_REGISTRY_URL"] = f"http://127.0.0.1:{free_port()}"
    own_collector.start()

    own_collector.sdk().chat.completions.create(model="m", messages=[{"role": "user", "content": "which?"}])

    own_collector.drain()
    assert own_collector.stored()[0]["domain"] == "nano"


class OwnPostgres:
    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.process = server.start()

    def start(self) -> None:
        self.process = self.server.start()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)


@pytest.fixture
def own_collector_on_own_postgres(own_collector_at: Any) -> Any:
    with server_folder() as folder:
        server = Postgres.at(folder / "data", port=free_port(), password="test", log=folder / "postgres.log")
        postgres = OwnPostgres(server)
        collector = own_collector_at(server.url("forge"))
        try:
            yield collector, postgres
        finally:
            collector.end()
            with stopping(postgres.process):
                pass
