"""Large prompts and answers: what they do to memory, to their own last byte and to everybody else.

    python services/collector/bench/large_bench.py [--quick]

Each row sends the same exchange some times, one after the other, while small requests that are not captured pass at 50 a
second: how long these take shows how long the event loop was held up. Resident memory is read every 5 ms.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import statistics
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from latency_bench import quantile
from load import one_by_one, paced
from payloads import KINDS, PATH, UNCAPTURED_PATH, kind, long_text, request
from stage import Collector, Target, stage, table
from streams_bench import Memory

MB = 1024 * 1024
PROBES = 50


@dataclass(frozen=True)
class Case:
    name: str
    body: bytes
    order: str
    count: int


def cases(*, quick: bool) -> list[Case]:
    small = request(kind("prose").prompt)
    return [
        Case("prompt 115 KB", request(long_text(115 * 1024)), "prose", 3 if quick else 30),
        Case("prompt 1 MB", request(long_text(MB)), "prose", 2 if quick else 20),
        Case("prompt 32 MB", request(long_text(32 * MB)), "prose", 2 if quick else 10),
        Case("answer 1 MB", small, f"size {MB}", 2 if quick else 20),
    ]


def measure(target: Target, case: Case, prober: Executor) -> tuple[object, ...]:
    """The first of them warms up; the others are reported."""
    alone = one_by_one(target.port, PATH, case.body, case.order, 1)[0]
    seconds = max(alone * case.count, 1.0)
    probes = prober.submit(paced, target.port, UNCAPTURED_PATH, KINDS[0].name, rate=PROBES, seconds=seconds)
    memory, before = Memory(), target.rss_mb()
    with memory.watching(target, 0.005):
        took = one_by_one(target.port, PATH, case.body, case.order, case.count)
        if isinstance(target, Collector):
            target.drain()
    others = probes.result()
    times = (statistics.median(took), max(took), quantile(others, 0.99), max(others))
    resident = (before, memory.highest(0), target.rss_mb()) if target.process else (None, None, None)
    return (case.name, target.name, *(each * 1e3 for each in times), *resident)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: a few of each")
    plan = cases(quick=parser.parse_args().quick)
    # In a process of its own: building megabytes must not hold the probes up.
    with (
        stage() as (direct, nginx, collector),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as prober,
    ):
        prober.submit(paced, direct.port, PATH, KINDS[0].name, rate=PROBES, seconds=0.1).result()
        targets = [target for target in (direct, nginx, collector) if target]
        rows = [measure(target, case, prober) for case in plan for target in targets]
        # The ones that everything else was compared with come first, the same again: has anything stayed?
        again = measure(collector, plan[0], prober)
        collector.drain()
        sizes = collector.ask("select count(*), max(length(document)) from collector.exchanges")[0]
    columns = (
        "exchange",
        "through",
        "p50 ms",
        "max ms",
        "others p99",
        "others max",
        "MB before",
        "MB peak",
        "MB after",
    )
    table("Large exchanges, and small ones beside them", columns, [*rows, again])
    sent = sum(case.count + 1 for case in plan) + plan[0].count + 1
    print(f"sent {sent}, in Postgres {sizes[0]}, the longest record of {sizes[1] / MB:.1f} MB")
    if sizes[0] != sent:
        raise SystemExit("something was lost")


if __name__ == "__main__":
    main()
