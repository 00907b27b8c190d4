"""A thousand streams at a time: how late chunks come, whether any is lost, and what the collector's memory does.

    python services/collector/bench/streams_bench.py [--quick]

Each stream has 200 chunks, 4 a second. nginx carries them once; the collector three times over on the same connections,
so that its memory can be watched for longer than the first minute. A chunk carries the time at which the upstream sent it.
Afterwards every stream's exchange is looked up in Postgres, and its text compared.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from latency_bench import quantile
from load import Streamed, stream
from payloads import PATH, token
from stage import Collector, Cpu, Target, stage, table

EVERY_S = 0.25
WARM_S = 60.0


@dataclass
class Memory:
    """Resident megabytes, with the second at which they were read."""

    read: list[tuple[float, float]] = field(default_factory=list)

    def highest(self, begin: float, end: float = float("inf")) -> float:
        return max((mb for at, mb in self.read if begin <= at < end), default=0.0)

    @contextmanager
    def watching(self, target: Target, every_s: float = 0.5) -> Iterator[None]:
        stopped, began = threading.Event(), time.monotonic()

        def watch() -> None:
            while not stopped.wait(every_s):
                self.read.append((time.monotonic() - began, target.rss_mb()))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


@dataclass
class Run:
    target: Target
    seen: Streamed
    memory: Memory
    cpu: Cpu

    def row(self, expected: int, nginx: Run | None) -> tuple[object, ...]:
        p50, p99 = quantile(self.seen.delays, 0.5), quantile(self.seen.delays, 0.99)
        ratio = f"{p99 / quantile(nginx.seen.delays, 0.99):.1f}" if nginx else None
        cpu = (
            round((self.cpu.loop + self.cpu.others) / self.seen.chunks * 1e6) if self.target.process else None
        )
        lost = expected - self.seen.chunks
        return (self.target.name, self.seen.streams, self.seen.chunks, lost, self.seen.broken,
                p50 * 1e3, p99 * 1e3, max(self.seen.delays) * 1e3, ratio, cpu)  # fmt: skip


def run(target: Target, streams: int, chunks: int, rounds: int) -> Run:
    memory, before = Memory(), target.cpu()
    with memory.watching(target):
        seen = stream(target.port, PATH, streams=streams, chunks=chunks, every_s=EVERY_S, rounds=rounds)
    return Run(target, seen, memory, target.cpu() - before)


def stored(collector: Collector, chunks: int) -> tuple[int, int]:
    """How many exchanges are in Postgres, and how many of them have the whole text."""
    collector.drain()
    whole = "".join(token(i) for i in range(chunks))
    rows = collector.ask("select document::json->'answer'->>'content', complete from collector.exchanges")
    return len(rows), sum(complete and content == whole for content, complete in rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: few, short streams")
    options = parser.parse_args()
    streams, chunks, rounds = (100, 12, 2) if options.quick else (1000, 200, 3)
    with stage() as (direct, nginx, collector):
        runs = [run(direct, streams, chunks, 1)] + ([run(nginx, streams, chunks, 1)] if nginx else [])
        kept = run(collector, streams, chunks, rounds)
        found, whole = stored(collector, chunks)
        settled = collector.rss_mb()
    report(runs, kept, streams * chunks, rounds)
    print(f"delivered {kept.seen.streams} streams, in Postgres {found}, of them with every chunk {whole}")
    early, late = kept.memory.highest(0, WARM_S), kept.memory.highest(WARM_S)
    if late:
        print(
            f"resident MB: {early:.1f} at most in the first minute, {late:.1f} later, {settled:.1f} when drained"
        )
    else:
        print(f"resident MB: {early:.1f} at most, {settled:.1f} when drained; too short to see growth")
    if not kept.seen.streams == found == whole or kept.seen.broken:
        raise SystemExit("something was lost")


def report(runs: list[Run], kept: Run, expected: int, rounds: int) -> None:
    nginx = runs[-1] if len(runs) > 1 else None
    rows = [each.row(expected, nginx) for each in runs] + [kept.row(expected * rounds, nginx)]
    columns = (
        "through",
        "streams",
        "chunks",
        "lost",
        "broken",
        "p50 ms",
        "p99 ms",
        "max ms",
        "p99 × nginx",
        "µs CPU/chunk",
    )
    table(
        f"Delay of chunks from the upstream to the client, each stream one in {EVERY_S} s each: from the upstream to the client",
        columns,
        rows,
    )


if __name__ == "__main__":
    main()
