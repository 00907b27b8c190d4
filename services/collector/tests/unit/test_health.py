"""What health says is wrong, and that asking never hangs."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forge_collector import health
from forge_collector.drainer import Drainer
from forge_collector.health import Probe, symptoms
from forge_collector.spool import Spool
from forge_common.db.session import make_engine
from forge_common.errors import DependencyDown


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, limit_bytes=1 << 20, segment_bytes=1 << 16, fsync_s=0.001)
    yield spool
    spool.close()


@pytest.fixture
def drainer(spool: Spool) -> Drainer:
    return Drainer(
        spool, make_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"), batch=10, linger_s=0.01
    )


def reasons(spool: Spool, drainer: Drainer, check: Callable[[], None] = lambda: None) -> list[str]:
    return [code for code, _ in symptoms(spool, drainer, Probe(check))]


def test_nothing_is_wrong_with_a_new_spool_and_a_postgres_that_answers(
    spool: Spool, drainer: Drainer
) -> None:
    assert reasons(spool, drainer) == []


def test_a_postgres_that_refuses_is_down(spool: Spool, drainer: Drainer) -> None:
    def refuse() -> None:
        raise DependencyDown("no")

    assert reasons(spool, drainer, refuse) == ["postgres_down"]


def test_a_postgres_that_hangs_is_down_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_S", 0.05)
    thawed = threading.Event()
    asked: list[int] = []

    def hang() -> None:
        asked.append(1)
        thawed.wait(20)

    probe = Probe(hang)

    begun = time.monotonic()
    assert not probe.answers()
    assert not probe.answers()
    assert time.monotonic() - begun < 5
    assert len(asked) == 1

    thawed.set()
    monkeypatch.setattr(health, "PROBE_S", 20)
    assert probe.answers()


def test_a_drainer_that_fails_while_postgres_answers_is_named(spool: Spool, drainer: Drainer) -> None:
    drainer.stats.trouble = "KeyError: 'id'"

    assert reasons(spool, drainer) == ["drainer_failing"]


def test_an_old_backlog_is_wrong_although_postgres_answers(tmp_path: Path) -> None:
    (tmp_path / f"{time.time_ns() - 120 * 10**9:020d}.seg").write_bytes(b"x")
    spool = Spool(tmp_path, limit_bytes=1 << 20, segment_bytes=1 << 16, fsync_s=0.001)
    drainer = Drainer(
        spool, make_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"), batch=10, linger_s=0.01
    )

    assert reasons(spool, drainer) == ["backlog_old"]
    spool.close()


def test_a_spool_that_refuses_says_why_until_it_takes_something_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=400, segment_bytes=100, fsync_s=0.001)
    drainer = Drainer(
        spool, make_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"), batch=10, linger_s=0.01
    )
    while spool.append(b"x" * 80):
        pass
    assert reasons(spool, drainer) == ["spool_full"]
    spool.release(spool.end)

    spool.append(b"y")

    assert reasons(spool, drainer) == []
    spool.close()


def test_a_disk_that_does_not_confirm_is_wrong(spool: Spool, drainer: Drainer) -> None:
    spool.fsync_error = "Input/output error"

    assert reasons(spool, drainer) == ["fsync_failed"]


def test_a_disk_that_is_too_full_for_the_reserve_is_low(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drainer: Drainer
) -> None:
    monkeypatch.setattr("forge_collector.reserve.ROOM", 1 << 40)
    spool = Spool(
        tmp_path / "own", limit_bytes=1 << 20, segment_bytes=1 << 16, fsync_s=0.001, reserve_bytes=1 << 20
    )

    assert reasons(spool, drainer) == ["disk_low"]
    spool.close()
