"""`forge data import` against a real collector: killed on either side, it ends with exactly the file's rows."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from forge_common.db.migrate import upgrade
from forge_common.local.process import free_port, listens

pytest.importorskip("forge_cli", reason="the command line is not installed here")
models = pytest.importorskip("forge_collector.models", reason="the collector is not installed here")
pytestmark = pytest.mark.integration

EXPORTS = Path(__file__).parents[2] / "services" / "collector" / "tests" / "exports"
PATIENCE_S = 240.0


@dataclass
class House:
    """A collector on a database of its own, and the command line beside it. No registry: the domain is always named."""

    home: Path
    database_url: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {
            "FORGE_HOME": str(self.home),
            "FORGE_KEY": "key-for-tests",
            "FORGE_DATABASE_URL": self.database_url,
            "FORGE_REGISTRY_URL": "http://127.0.0.1:1",
            "FORGE_COLLECTOR_PORT": str(self.port),
            "FORGE_COLLECTOR_URL": f"http://127.0.0.1:{self.port}",
        }

    def start(self) -> None:
        with (self.home / "collector.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "forge_collector"], env=self.env, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while not listens(self.port) and time.monotonic() < deadline:
            assert self.process.poll() is None, (self.home / "collector.log").read_text()
            time.sleep(0.1)

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)

    def command(self, *arguments: str | Path) -> list[str]:
        options = ["--domain", "coding", "--json"]
        return [sys.executable, "-m", "forge_cli", "data", "import", *map(str, arguments), *options]

    def begin(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command(*arguments), env=self.env, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str | Path, code: int = 0) -> Any:
        ended = subprocess.run(
            self.command(*arguments), env=self.env, capture_output=True, text=True, check=False
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url.replace("+psycopg", "")) as connection:
            return connection.execute(statement).fetchall()

    def position(self) -> int:
        return int(self.query("select coalesce(max(position), 0) from collector.imports")[0][0])

    def wait_for(self, position: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.position() < position and time.monotonic() < deadline:
            time.sleep(0.02)

    def prompts(self) -> Counter[str]:
        documents = [json.loads(row[0]) for row in self.query("select document from collector.exchanges")]
        return Counter(document["messages"][-1]["content"] for document in documents)


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    upgrade(database_url, package="forge_collector", schema=models.SCHEMA)
    home = tmp_path / "home"
    home.mkdir()
    house = House(home, database_url)
    house.start()
    yield house
    with contextlib.suppress(ProcessLookupError):
        house.kill(signal.SIGTERM)


def write_lines(path: Path, n: int, *, first: int = 0, size: int = 800) -> list[str]:
    """Plain records, every hundredth of them broken. Returns the prompts of the others."""
    prompts = []
    with path.open("a") as file:
        for i in range(first, first + n):
            if i % 100 == 50:
                file.write(f'{{"prompt": "broken {i}"\n')
                continue
            prompts.append(f"question {i}")
            file.write(json.dumps({"prompt": prompts[-1], "response": "word " * (size // 5)}) + "\n")
    return prompts


def test_kill_9_of_client_and_collector_ends_in_exactly_the_rows(house: House, tmp_path: Path) -> None:
    file, left_out = tmp_path / "big.jsonl", tmp_path / "left-out.jsonl"
    prompts = write_lines(file, 8000)

    client = house.begin(file, "--rejected", left_out)
    house.wait_for(1000)
    client.kill()
    client.wait()
    client = house.begin(file, "--rejected", left_out)
    house.wait_for(house.position() + 1000)
    house.kill()
    time.sleep(1)
    house.start()
    house.wait_for(house.position() + 1000)
    client.kill()
    client.wait()
    document = house.run(file, "--rejected", left_out)

    (entry,) = document["files"]
    assert entry["resumed_at"] >= 3000
    assert (entry["records"], entry["accepted"], entry["known"], entry["rejected"]) == (8000, 7920, 0, 80)
    assert house.prompts() == Counter(prompts)
    written = [json.loads(line) for line in left_out.read_text().splitlines()]
    assert [w["record"] for w in written] == list(range(51, 8000, 100))
    assert [w["text"] for w in written[:2]] == ['{"prompt": "broken 50"', '{"prompt": "broken 150"']


def test_a_file_is_imported_once_and_what_was_added_to_it_too(house: House, tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    prompts = write_lines(file, 40)

    first = house.run(file)
    second = house.run(file)
    again = house.run(file, "--again")
    prompts += write_lines(file, 5, first=1000)
    grown = house.run(file)

    assert [(d["accepted"], d["known"]) for d in (first, second, again, grown)] == [
        (40, 0),
        (0, 40),
        (0, 40),
        (5, 40),
    ]
    assert second["files"][0]["state"] == "imported before"
    assert house.prompts() == Counter(prompts)


def test_the_original_forge_s_folder_is_imported_whole(house: House, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)

    document = house.run(trainer)

    origins = dict(house.query("select origin, count(*) from collector.exchanges group by origin"))
    assert origins == {"proxy": 8, "compare": 3, "mined": 4, "ground_truth": 1, "practice": 2, "import": 1}
    assert (document["accepted"], document["rejected"]) == (19, 2)
    assert (document["pairs_without_text"], document["pairs_joined"]) == (2, 1)
    states = {Path(entry["file"]).name: entry["state"] for entry in document["files"]}
    assert states["top-repos.json"] == "passed over"
    typed = house.query("select document from collector.exchanges where document like '%in plain words%'")
    assert json.loads(typed[0][0])["task_type"] == "reasoning"


def make_trainer(tmp_path: Path) -> Path:
    """The fixtures laid out as the original has them, with its database open beside them."""
    trainer = tmp_path / "trainer"
    subprocess.run(["cp", "-r", EXPORTS / "forge", trainer], check=True)
    (trainer / "db").mkdir()
    (trainer / "data" / "top-repos.json").write_text('[{"name": "example/parser", "stars": 900}]')
    database = sqlite3.connect(trainer / "db" / "forge.db")
    database.executescript("""
        pragma journal_mode=wal;
        create table comparisons (id integer primary key, prompt text, goal text, context text, claude_response text,
            claude_duration_ms integer, engie_response text, engie_duration_ms integer, session_key text, created_at text);
        create table training_pairs (id text primary key, prompt_hash text, timestamp text, task_type text);
        insert into comparisons values (1, 'Say hi', null, null, 'Hi!', 900, 'hello', 300, 'default', '2026-02-27T10:00:00Z');
        insert into training_pairs values ('pair_1a1b2c3d4e5f', 'h', null, 'reasoning'), ('pair_gone', 'h', null, 'chat');
    """)
    database.close()
    return trainer


def test_a_dry_run_says_what_would_come_and_keeps_nothing(house: House, tmp_path: Path) -> None:
    left_out = tmp_path / "left-out.jsonl"

    document = house.run(EXPORTS / "plain.jsonl", "--dry-run", "--rejected", left_out)

    assert (document["accepted"], document["rejected"]) == (5, 1)
    assert len(left_out.read_text().splitlines()) == 1
    assert house.prompts() == Counter()
    assert house.query("select * from collector.imports") == []


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "empty"), (b"\x7fELF" + bytes(500), "neither"), (b'{"a": 1}\n', "known format")],
)
def test_what_is_nothing_to_import_is_a_clear_error(
    house: House, tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)

    assert says in house.run(file, code=2)["error"]["message"]


def test_memory_stays_flat_on_both_sides(house: House, tmp_path: Path) -> None:
    small, big = tmp_path / "small.jsonl", tmp_path / "big.jsonl"
    write_lines(small, 500, size=12_000)
    write_lines(big, 5000, first=1000, size=12_000)
    assert big.stat().st_size > 59_000_000
    assert house.process is not None
    warm_client = peak_of(house.begin(small).pid, lambda: True)
    collector = psutil.Process(house.process.pid)
    before = collector.memory_info().rss

    client = house.begin(big)
    peaks = {"collector": 0}
    watcher = threading.Thread(
        target=lambda: peaks.update(collector=peak_of(collector.pid, lambda: client.poll() is None))
    )
    watcher.start()
    peak = peak_of(client.pid, lambda: True)
    client.communicate(timeout=PATIENCE_S)
    watcher.join()

    assert client.returncode == 0
    assert peak - warm_client < 30 * 2**20
    assert peaks["collector"] - before < 80 * 2**20


def peak_of(pid: int, going: Callable[[], bool]) -> int:
    """The most resident memory seen until the process ends, or nothing goes on."""
    peak = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while going() and process.status() != psutil.STATUS_ZOMBIE:
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.05)
    return peak
