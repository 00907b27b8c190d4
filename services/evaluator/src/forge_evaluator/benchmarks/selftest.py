"""Whether a benchmark tells right from wrong: its gold answers must pass, empty, stub, refusal and echo must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks.checks import CodeCheck, DocumentCheck
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
_WHOLE = Scoring()
_OFF_TOPIC = """Sailing ships of the nineteenth century crossed the oceans by following the steady winds, which the captains knew
from their charts and from long experience. A crew of thirty men set the sails, kept watch through the night and repaired
what the storms had broken, because there was no harbour within a thousand miles. When the wind died, the ship lay still for
days, and the cook had to make the flour and the salted meat last. Letters from home took months to arrive. In the end the
steamship was faster and cheaper, so the tall masts slowly disappeared from the harbours, although many people still think
that nothing on the sea was ever more beautiful."""


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
        weights = _WHOLE if isinstance(task.check, DocumentCheck) else _CORRECTNESS
        judged = score(task, Answered(text=text), weights, sandbox)
        points = judged.points
        if points is None or (points < GOLD_AT_LEAST if is_gold else points > OTHERS_AT_MOST):
            yield Flaw(task.id, name, points, "; ".join((judged.explanation, *judged.evidence[:4])))


def _answers(task: Task) -> Iterator[tuple[str, str, bool]]:
    yield "gold", task.gold_answer, True
    yield "empty", "", False
    yield "refusal", _REFUSAL, False
    yield "echo", task.prompt, False
    if isinstance(task.check, CodeCheck):
        yield "stub", f"```python\ndef {task.check.entry_point}(*args):\n    return None\n```", False
    if isinstance(task.check, DocumentCheck):
        titles = [names[0] for names in task.check.sections] or ["Answer"]
        yield (
            "stub",
            "\n\n".join(f"## {title}\n\nThis part is still to be written." for title in titles),
            False,
        )
        yield "wrong domain", "\n\n".join(f"## {title}\n\n{_OFF_TOPIC}" for title in titles), False
