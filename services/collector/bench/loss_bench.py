"""The loss table: what was delivered, what is stored, what is there twice, whatever is killed, stopped, frozen or full.

Delivered is what a client received whole. Every row must have delivered = stored + counted drops and nothing doubled;
only a full disk or a full spool may have drops at all. The rows with a full disk mount a small one, for which one must be
root; without that they are left out and named.

    python services/collector/bench/loss_bench.py [--quick] [--kills 50] [--seconds 60] [--only NAME ...] [--json]
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from loss_scene import Scene, can_mount, filled, scene
from loss_traffic import Traffic
from stage import table

MB = 1 << 20
BEFORE = 200
# Of what health says; the reserve is filled up again a minute later.
GONE_AFTERWARDS = {"postgres_down", "spool_full", "disk_full"}


@dataclass(frozen=True)
class Row:
    """`meanwhile` were delivered while it lasted; `said` is what the collector's health said of it then."""

    name: str
    delivered: int
    meanwhile: int
    stored: int
    dropped: int
    missing: int
    doubled: int
    said: str


class Act:
    """Traffic through a scene, and what came of it."""

    def __init__(self, on: Scene, *, size: int = 600) -> None:
        self.scene = on
        self.traffic = Traffic(on.collector.port, size=size)
        self.meanwhile = 0
        self.said = ""

    def wait_for(self, more: int) -> None:
        target, deadline = len(self.traffic.delivered) + more, time.monotonic() + 120
        while len(self.traffic.delivered) < target:
            if time.monotonic() > deadline:
                raise SystemExit(f"the traffic does not flow: {len(self.traffic.delivered)} delivered")
            time.sleep(0.01)

    def last(self, seconds: float) -> None:
        before = len(self.traffic.delivered)
        time.sleep(seconds)
        self.meanwhile = len(self.traffic.delivered) - before
        self.said = ", ".join(self.scene.collector.health()["reasons"]) or "ok"

    def recover(self) -> None:
        """Until exchanges are kept and stored again."""
        deadline = time.monotonic() + 120
        while GONE_AFTERWARDS & self.scene.collector.health()["reasons"].keys():
            if time.monotonic() > deadline:
                raise SystemExit(f"it does not recover: {self.scene.collector.health()}")
            time.sleep(0.1)

    def row(self, name: str) -> Row:
        self.scene.collector.drain()
        stored = self.scene.stored()
        delivered = self.traffic.delivered
        assert len(set(delivered)) == len(delivered)
        found = sum(1 for prompt in delivered if prompt in stored)
        dropped = sum(self.scene.collector.health()["lost"].values())
        doubled = sum(times - 1 for times in stored.values())
        missing = len(delivered) - found - dropped
        return Row(name, len(delivered), self.meanwhile, found, dropped, missing, doubled, self.said)


@contextmanager
def act(on: Scene, **more: int) -> Iterator[Act]:
    it = Act(on, **more)
    with it.traffic.running():
        it.wait_for(BEFORE)
        yield it
        it.recover()
        it.wait_for(BEFORE)


def kill_9(kills: int, seconds: float) -> Row:
    """At random moments: while it starts, while its API is loaded beside the traffic, while it reads its spool back."""
    del seconds
    draw = random.Random(kills)  # noqa: S311
    with scene() as on:
        with act(on) as it:
            before = len(it.traffic.delivered)
            for _ in range(kills):
                time.sleep(draw.uniform(0.02, 4.0))
                on.collector.kill()
                on.collector.launch()
            on.collector.wait()
            # None of them lived long enough to store what the spool had.
            on.collector.drain()
            it.last(0.1)
            it.meanwhile = len(it.traffic.delivered) - before
        return it.row(f"{kills} x kill -9 of the collector")


def postgres_stopped(kills: int, seconds: float) -> Row:
    del kills
    with scene() as on:
        with act(on) as it:
            on.postgres.stop()
            it.last(seconds)
            on.postgres.start()
        return it.row(f"Postgres crashed, back after {seconds:.0f} s")


def postgres_frozen(kills: int, seconds: float) -> Row:
    del kills
    with scene() as on:
        with act(on) as it:
            on.postgres.freeze()
            it.last(seconds)
            on.postgres.thaw()
        return it.row(f"Postgres frozen for {seconds:.0f} s")


def postgres_and_collector(kills: int, seconds: float) -> Row:
    """The collector restarts while Postgres is away: it does not know how far it was drained."""
    del kills
    with scene() as on:
        with act(on) as it:
            on.postgres.stop()
            it.last(seconds / 2)
            on.collector.kill()
            on.collector.start()
            before = it.meanwhile
            it.last(seconds / 2)
            it.meanwhile += before
            on.postgres.start()
        return it.row(f"Postgres away for {seconds:.0f} s, the collector killed meanwhile")


def redis_stopped(kills: int, seconds: float) -> Row:
    del kills
    with scene() as on:
        with act(on) as it:
            on.redis.stop()
            it.last(seconds)
            on.redis.start()
        return it.row(f"Redis stopped for {seconds:.0f} s")


def disk_full(kills: int, seconds: float) -> Row:
    """Postgres takes what comes, so that the spool can live on what was drained."""
    del kills
    with scene(disk_mb=48, spool_reserve="8MiB", spool_segment="4MiB") as on:
        with act(on, size=4000) as it:
            with filled(on.collector.spool):
                it.last(seconds)
            it.wait_for(BEFORE)
        return it.row(f"disk full for {seconds:.0f} s")


def disk_full_without_postgres(kills: int, seconds: float) -> Row:
    del kills
    with scene(disk_mb=24, spool_reserve="1MiB", spool_segment="4MiB") as on:
        with act(on, size=16_000) as it:
            on.postgres.stop()
            with filled(on.collector.spool):
                it.last(seconds)
            it.wait_for(BEFORE)
            on.postgres.start()
        return it.row(f"disk full for {seconds:.0f} s, Postgres away")


def spool_full(kills: int, seconds: float) -> Row:
    del kills
    with scene(spool_limit="4MiB") as on:
        with act(on, size=16_000) as it:
            on.postgres.stop()
            it.last(seconds)
            on.postgres.start()
        return it.row(f"spool's limit of 4 MiB reached, Postgres away for {seconds:.0f} s")


Do = Callable[[int, float], Row]
ROWS: tuple[Do, ...] = (
    kill_9,
    postgres_stopped,
    postgres_frozen,
    postgres_and_collector,
    redis_stopped,
    spool_full,
)
ROWS_OF_ROOT: tuple[Do, ...] = (disk_full, disk_full_without_postgres)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="5 kills, 5 s")
    parser.add_argument("--only", nargs="*", choices=[do.__name__ for do in (*ROWS, *ROWS_OF_ROOT)])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    kills, seconds = (5, 5.0) if given.quick else (given.kills, given.seconds)
    chosen = [do for do in (*ROWS, *ROWS_OF_ROOT) if not given.only or do.__name__ in given.only]
    possible = chosen if can_mount() else [do for do in chosen if do not in ROWS_OF_ROOT]
    rows = []
    for do in possible:
        rows.append(do(kills, seconds))
        if given.json:
            print(json.dumps({"row": do.__name__, **asdict(rows[-1])}), flush=True)
    if not given.json:
        show(rows)
        for do in chosen:
            if do not in possible:
                print(f"left out: {do.__name__}, for which one must be able to mount a tmpfs")
    if any(row.missing or row.doubled for row in rows):
        raise SystemExit("something was lost or doubled")


def show(rows: list[Row]) -> None:
    columns = (
        "",
        "delivered",
        "meanwhile",
        "stored",
        "dropped and counted",
        "missing",
        "doubled",
        "health said",
    )
    table("Loss table", columns, [tuple(asdict(row).values()) for row in rows])


if __name__ == "__main__":
    main()
