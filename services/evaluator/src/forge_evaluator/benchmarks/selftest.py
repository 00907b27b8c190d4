"""Whether a benchmark tells right from wrong: its gold answers must pass, empty, stub, refusal and echo must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks.checks import CodeCheck
from forge_evaluator.benchmarks.load import Benchmark
from forge_evaluator.benchmarks.task import Task
from forge_evaluator.scorers import Answered, score
from forge_evaluator.scorers.code import Runs

GOLD_AT_LEAST, OTHERS_AT_MOST = 95.0, 15.0
_REFUSAL = "I'm sorry, but I can't help with that request."
# Only correctness: structure alone would give a stub its quarter.
_CORRECTNESS = Scoring.model_validate(
    {part: {"weight": 0} for part in ("structure", "similarity", "completeness")}
    | {"correctness": {"weight": 100}}
)


@dataclass(frozen=True, slots=True)
class Flaw:
    task: str
    answer: str
    points: float | None
    explanation: str


def check(benchmark: Benchmark, sandbox: Runs) -> list[Flaw]:
    """Every task whose gold answer fails, or which a worthless answer passes. Tasks without a check are left out."""
    return [flaw for task in benchmark.tasks if task.check is not None for flaw in _flaws(task, sandbox)]


def _flaws(task: Task, sandbox: Runs) -> Iterator[Flaw]:
    for name, text, is_gold in _answers(task):
        judged = score(task, Answered(text=text), _CORRECTNESS, sandbox)
        points = judged.points
        if points is None or (points < GOLD_AT_LEAST if is_gold else points > OTHERS_AT_MOST):
            yield Flaw(task.id, name, points, "; ".join((judged.explanation, *judged.evidence[:1])))


def _answers(task: Task) -> Iterator[tuple[str, str, bool]]:
    yield "gold", task.gold_answer, True
    yield "empty", "", False
    yield "refusal", _REFUSAL, False
    yield "echo", task.prompt, False
    if isinstance(task.check, CodeCheck):
        yield "stub", f"```python\ndef {task.check.entry_point}(*args):\n    return None\n```", False
