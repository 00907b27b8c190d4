"""Mean score of related answers for every shipped benchmark, and every relation that does not hold.

    python services/evaluator/bench/metamorphic_bench.py [--quick] [--every] [NAME ...]

The status is 1 when a relation is broken or a gold answer scores under 95.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks import Task, read, shipped
from forge_evaluator.benchmarks.load import shipped_names
from forge_evaluator.benchmarks.selftest import GOLD_AT_LEAST
from forge_evaluator.metamorphic import EVERY, PHRASES_A_TASK, Row, measure
from forge_evaluator.sandbox import Pool, probe
from forge_evaluator.scorers import Answered, Score, score

QUICK = 8
ORDER = ("gold", "renamed", "fences", "prose", "thinking", "padded", "injected", "half", "filled_half", "padded_half", "injected_half",
         "glued_half", "mutant", "padded_mutant", "injected_mutant", "soup", "sorted", "phrases", "echo", "echo_8", "injected_echo", "stub",
         "wrong_domain", "refusal", "injected_refusal", "empty")  # fmt: skip


@dataclass(frozen=True)
class Measured:
    name: str
    rows: list[Row]

    def means(self) -> dict[str, tuple[float, float]]:
        """Mean and highest by variant; the four fence styles are one."""
        found: dict[str, list[float]] = defaultdict(list)
        for row in self.rows:
            for variant, points in row.points.items():
                if points is not None:
                    found["fences" if variant.startswith("fence_") else variant].append(points)
        return {variant: (fmean(points), max(points)) for variant, points in found.items()}

    def flaws(self) -> list[str]:
        broken = [f"{row.task}: {relation}" for row in self.rows for relation in row.broken]
        low = [row for row in self.rows if (row.points.get("gold") or 0.0) < GOLD_AT_LEAST]
        return broken + [f"{row.task}: gold scores {row.points.get('gold')}" for row in low]


def main() -> int:
    parser = argparse.ArgumentParser(prog="metamorphic_bench.py", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=shipped_names())
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} tasks of each benchmark")
    parser.add_argument(
        "--every", action="store_true", help=f"all {EVERY} wordings of injections for every task"
    )
    arguments = parser.parse_args()
    phrases = EVERY if arguments.every else PHRASES_A_TASK
    with Pool(probe()) as pool:
        measured = [_measure(name, pool, phrases, quick=arguments.quick) for name in arguments.names]
    _print(measured)
    return 1 if any(found.flaws() for found in measured) else 0


def _measure(name: str, pool: Pool, phrases: int, *, quick: bool) -> Measured:
    tasks = [task for task in read(shipped(name)).tasks if task.check is not None]
    tasks = tasks[:: max(1, len(tasks) // QUICK)] if quick else tasks

    def judge(task: Task, answered: Answered) -> Score:
        return score(task, answered, Scoring(), pool)

    with ThreadPoolExecutor(2) as threads:
        return Measured(name, list(threads.map(lambda task: measure(task, judge, phrases), tasks)))


def _print(measured: list[Measured]) -> None:
    columns = [f"{found.name} ({len(found.rows)})" for found in measured]
    sys.stdout.write("Scores of related answers, mean (highest), of 100\n\n")
    sys.stdout.write(f"{'':18}" + "".join(f"{column:>20}" for column in columns) + "\n")
    means = [found.means() for found in measured]
    for variant in ORDER:
        cells = [f"{of[variant][0]:.1f} ({of[variant][1]:.1f})" if variant in of else "–" for of in means]
        sys.stdout.write(f"{variant:18}" + "".join(f"{cell:>20}" for cell in cells) + "\n")
    for found in measured:
        for flaw in found.flaws():
            sys.stdout.write(f"BROKEN {found.name} {flaw}\n")
    total = sum(len(found.flaws()) for found in measured)
    sys.stdout.write(f"\n{total} relations broken, of {sum(len(found.rows) for found in measured)} tasks\n")


if __name__ == "__main__":
    sys.exit(main())
