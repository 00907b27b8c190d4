"""Our sides of the sandbox's measurement, each in a process of its own: `sandbox_runs.py SIDE TASKS` prints one line of JSON."""

# ruff: noqa: T201  what it found is read from its output
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from sandbox_peer import WORKERS, measure, problems, spread

from forge_evaluator.sandbox import (
    Execution,
    HarnessJob,
    Job,
    Language,
    Pool,
    ShellJob,
    ShellRun,
    SqlJob,
    SqlRun,
    probe,
)
from forge_evaluator.sandbox.inside import plain

SIDES = ("cases", "test code")
OTHERS = ("JavaScript", "TypeScript", "SQL, three cases", "shell, one case")

JAVASCRIPT = """
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
"""
TYPESCRIPT = JAVASCRIPT.replace("(numbers)", "(numbers: readonly number[]): number")
SCHEMA = "CREATE TABLE sales (region TEXT, amount INTEGER);"
ROWS = "INSERT INTO sales VALUES ('north', 3), ('south', 5), ('north', 4);"
QUERY = "SELECT region, SUM(amount) FROM sales GROUP BY region ORDER BY region;"
SCRIPT = "sort \"$1\" | uniq -c | awk '{ print $2, $1 }'"


def main(side: str, count: int) -> dict[str, Any]:
    """Set up what is not to be measured (the problems, two warm workers), then measure."""
    with Pool(probe(), workers=WORKERS) as pool:
        spread(lambda _: pool.run(Job("def f():\n    pass", "f", ((),))), [0] * WORKERS * 2)
        tier = pool.tier.description
        if side == "cases":
            jobs = [job for job in map(_job, problems(count)) if job is not None]
            return measure(lambda job: _answers(pool.run(job[0])) == job[1], jobs, tier)
        if side == "test code":
            return measure(lambda problem: _by_tests(pool, problem), problems(count), tier)
        one = _others(pool)[side]
        return measure(lambda _: one(), list(range(count)), tier)


def _job(problem: dict[str, Any]) -> Any:
    """The calls that its tests make, with what the canonical solution answers. None: no plain data."""
    calls: list[tuple[Any, Any]] = []
    namespace: dict[str, Any] = {}
    code = problem["prompt"] + problem["canonical_solution"]
    exec(code, namespace)  # noqa: S102 (the canonical solutions of a published benchmark)
    entry_point = namespace[problem["entry_point"]]

    def record(*arguments: Any) -> Any:
        sent = plain.encode(list(arguments))
        value = entry_point(*arguments)
        calls.append((sent, plain.encode(value)))
        return value

    try:
        exec(problem["test"], namespace)  # noqa: S102
        namespace["check"](record)
    except plain.Unsendable:
        return None
    return Job(code, problem["entry_point"], tuple(tuple(sent) for sent, _ in calls)), [
        told for _, told in calls
    ]


def _answers(execution: Execution) -> list[Any]:
    return [reply.value for reply in execution.replies]


def _by_tests(pool: Pool, problem: dict[str, Any]) -> bool:
    code = problem["prompt"] + problem["canonical_solution"]
    return pool.run_harness(
        HarnessJob(code, problem["entry_point"], problem["test"], problem["prompt"])
    ).has_passed


def _others(pool: Pool) -> dict[str, Callable[[], bool]]:
    calls = (([3, 1, 2, 10],),) * 5
    javascript = Job(JAVASCRIPT, "median", calls, Language.JAVASCRIPT)
    typescript = Job(TYPESCRIPT, "median", calls, Language.TYPESCRIPT)
    sql = SqlJob(SCHEMA, QUERY, (SqlRun(ROWS),) * 3)
    shell = ShellJob(SCRIPT, (ShellRun(("f",), files={"f": "b\na\nb\n"}),))
    return {
        "JavaScript": lambda: _answers(pool.run(javascript)) == [2.5] * 5,
        "TypeScript": lambda: _answers(pool.run(typescript)) == [2.5] * 5,
        "SQL, three cases": lambda: _answers(pool.run_sql(sql)) == [[["north", 7], ["south", 5]]] * 3,
        "shell, one case": lambda: [one.stdout for one in pool.run_shell(shell).replies] == ["a 1\nb 2\n"],
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
