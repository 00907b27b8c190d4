"""CPU of the collector's process per exchange that does not stream, with nginx and the direct way in the same run.

    python services/collector/bench/cpu_bench.py [--quick]

Two loads: as many requests as can be had over 16 connections (by wrk where it is installed), and 200 a second. Each round measures every target
in turn; a figure is the median of the rounds. "loop" is the thread that carries the traffic: proxy, capture, redaction
and spool; "others" are the drainer, which stores in a real Postgres until all of it is there, and fsync.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from load import paced
from payloads import HEADERS, KINDS, PATH, UNCAPTURED_PATH, kind, request
from stage import Collector, Cpu, Target, stage, table

from forge_common.testing.peers import full_load, load_name

RATE = 200
CONNECTIONS = 16


@dataclass
class Row:
    """Microseconds per exchange, one of each a round."""

    target: str
    what: str
    loop: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)

    def add(self, used: Cpu, count: int, floor: float | None) -> None:
        self.loop.append(used.loop / count * 1e6)
        self.others.append(used.others / count * 1e6)
        if floor:
            self.ratio.append((self.loop[-1] + self.others[-1]) / floor)

    def cells(self) -> tuple[object, ...]:
        total = [loop + others for loop, others in zip(self.loop, self.others, strict=True)]
        ratio = f"{statistics.median(self.ratio):.1f}" if self.ratio else None
        return (
            self.target,
            self.what,
            *(round(statistics.median(x)) for x in (self.loop, self.others, total)),
            ratio,
        )


Load = Callable[[Target, str, str], int]


def saturating(seconds: float) -> Load:
    def load(target: Target, path: str, name: str) -> int:
        headers, body = {**HEADERS, "x-bench": name}, request(kind(name).prompt)
        count, errors = full_load(target.port, path, headers, body, seconds=seconds, connections=CONNECTIONS)
        if errors:
            raise SystemExit(f"{target.name} answered {errors} requests with an error")
        return count

    return load


def pacing(seconds: float) -> Load:
    def load(target: Target, path: str, name: str) -> int:
        return len(paced(target.port, path, name, rate=RATE, seconds=seconds))

    return load


def measure(target: Target, path: str, name: str, load: Load) -> tuple[Cpu, int]:
    before = target.cpu()
    count = load(target, path, name)
    if isinstance(target, Collector):
        # What was kept is stored on the bill of the same exchanges.
        target.drain()
    return target.cpu() - before, count


def compare(title: str, load: Load, rounds: int, nginx: Target | None, collector: Collector) -> None:
    plan = [(nginx, "pass", PATH, KINDS[0].name)] if nginx else []
    plan += [(collector, "capture off", UNCAPTURED_PATH, KINDS[0].name)]
    plan += [(collector, f"{each.name}: {each.finds}", PATH, each.name) for each in KINDS]
    rows = [Row(target.name, what) for target, what, _, _ in plan if target]
    for i in range(rounds + 1):
        floor = None
        for row, (target, _, path, name) in zip(rows, plan, strict=True):
            assert target is not None
            used, count = measure(target, path, name, load)
            floor = (used.loop + used.others) / count * 1e6 if target is nginx else floor
            if i:  # the first round warms everything up
                row.add(used, count, floor)
    columns = ("through", "exchange", "loop µs", "others µs", "all µs", "× nginx")
    table(title, columns, [("direct", "pass", 0, 0, 0, None), *[row.cells() for row in rows]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    options = parser.parse_args()
    seconds, rounds = (1.0, 1) if options.quick else (4.0, 3)
    with stage() as (_, nginx, collector):
        compare(
            f"CPU per exchange, {CONNECTIONS} connections at full load (by {load_name()})",
            saturating(seconds),
            rounds,
            nginx,
            collector,
        )
        compare(f"CPU per exchange, {RATE} a second", pacing(seconds * 2), rounds, nginx, collector)
        kept = collector.ask("select count(*) from collector.exchanges")[0][0]
        print(f"\n{kept} exchanges in Postgres; {collector.api('GET', 'health')}")


if __name__ == "__main__":
    sys.exit(main())
