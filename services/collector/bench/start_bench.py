"""What a start costs a person's traffic: from the process's beginning to its first whole reply, and to its API's.

CPU is the collector's own, all threads; a second on a busy machine is no second. A first start compiles what redaction
looks for, later ones find it in a file; the last row reads a spool back meanwhile.

    python services/collector/bench/start_bench.py [--quick] [--starts 5]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from load import one_by_one
from loss_scene import Collector, Scene, scene
from loss_traffic import Traffic
from payloads import PATH, kind, request
from stage import table

BACKLOG = 20_000
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Start:
    """Seconds since the process began, and of CPU that it used by then."""

    reply_s: float
    reply_cpu: float
    api_s: float
    api_cpu: float


def start(collector: Collector) -> Start:
    began = time.monotonic()
    collector.launch()
    assert collector.process is not None
    process = psutil.Process(collector.process.pid)
    body = request(kind("secret").prompt)
    _until(lambda: one_by_one(collector.port, PATH, body, "secret", 1), OSError, SystemExit)
    reply_s, reply_cpu = time.monotonic() - began, _cpu(process)
    collector.wait()
    return Start(reply_s, reply_cpu, time.monotonic() - began, _cpu(process))


def _until(ask: Callable[[], object], *errors: type[BaseException]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            ask()
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def first(on: Scene) -> Start:
    on.collector.kill()
    shutil.rmtree(on.collector.home / "cache", ignore_errors=True)
    return start(on.collector)


def again(on: Scene) -> Start:
    on.collector.kill()
    return start(on.collector)


def behind_a_backlog(on: Scene) -> Start:
    """Postgres is back in the moment of the start, and everything of a while is in the spool."""
    on.postgres.stop()
    traffic = Traffic(on.collector.port, size=4000)
    with traffic.running():
        while len(traffic.delivered) < BACKLOG:
            time.sleep(0.05)
    on.collector.kill()
    on.postgres.start()
    return start(on.collector)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one start of each kind")
    given = parser.parse_args()
    starts = 1 if given.quick else given.starts
    with scene() as on:
        rows = [("first start", [first(on) for _ in range(starts)])]
        rows.append(("started again", [again(on) for _ in range(starts)]))
        rows.append((f"again, {BACKLOG} exchanges in the spool", [behind_a_backlog(on)]))
    columns = ("seconds, medians", "first reply", "CPU", "API", "CPU")
    table("Start of the collector", columns, [_row(name, found) for name, found in rows])


def _row(name: str, found: list[Start]) -> tuple[str, float, float, float, float]:
    values = zip(*[(one.reply_s, one.reply_cpu, one.api_s, one.api_cpu) for one in found], strict=True)
    reply_s, reply_cpu, api_s, api_cpu = (statistics.median(value) for value in values)
    return name, reply_s, reply_cpu, api_s, api_cpu


if __name__ == "__main__":
    main()
