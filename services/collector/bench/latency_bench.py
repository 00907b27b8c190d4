"""What the collector and nginx add to the latency of an exchange, at 200 a second, in the same run.

    python services/collector/bench/latency_bench.py [--quick]

An open loop: requests leave at the times of a Poisson process, the same for every target, and are timed from when they
were meant to leave. The targets take turns; a figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from load import paced
from payloads import KINDS, PATH, UNCAPTURED_PATH
from stage import Collector, Target, stage, table

RATE = 200


def quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * q), len(ordered) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    options = parser.parse_args()
    seconds, rounds = (2.0, 1) if options.quick else (15.0, 3)
    with stage() as (direct, nginx, collector):
        plan: list[tuple[str, Target, str, str]] = [("direct", direct, PATH, KINDS[0].name)]
        plan += [("nginx", nginx, PATH, KINDS[0].name)] if nginx else []
        plan += [("collector, capture off", collector, UNCAPTURED_PATH, KINDS[0].name)]
        plan += [(f"collector, {each.name}", collector, PATH, each.name) for each in KINDS]
        measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name, *_ in plan}
        for i in range(rounds + 1):
            for name, target, path, kind in plan:
                took = paced(target.port, path, kind, rate=RATE, seconds=seconds if i else 2.0, seed=i)
                if isinstance(target, Collector):
                    target.drain()
                if i:  # the first round warms everything up
                    measured[name].append((quantile(took, 0.5), quantile(took, 0.99), max(took)))
    report(measured, int(seconds * RATE), rounds)


def report(measured: dict[str, list[tuple[float, float, float]]], count: int, rounds: int) -> None:
    """Differences are taken round by round, before the median."""
    base = measured.get("nginx") or measured["direct"]
    rows = []
    for name, times in measured.items():
        added = [(mine[i] - its[i]) for i in (0, 1) for mine, its in zip(times, base, strict=True)]
        figures = [statistics.median(each[i] for each in times) for i in range(3)]
        figures += [statistics.median(added[:rounds]), statistics.median(added[rounds:])]
        rows.append((name, *(figure * 1e3 for figure in figures)))
    over = "nginx" if "nginx" in measured else "direct (nginx is not installed)"
    columns = ("through", "p50 ms", "p99 ms", "max ms", "p50 added", "p99 added")
    table(f"Latency at {RATE} a second, ~{count} a round, {rounds} rounds; added over {over}", columns, rows)


if __name__ == "__main__":
    main()
