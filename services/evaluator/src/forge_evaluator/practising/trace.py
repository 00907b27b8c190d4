"""What happened with one task: every answer, how it ended, what the model was told. `solved_at` counts from 1."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from forge_common.contracts.scorecard import Figure, Outcome
from forge_evaluator import stats


class Attempt(BaseModel):
    """`told` is what the model was told about it before it tried again."""

    model_config = ConfigDict(frozen=True)

    answer: str
    code: str | None
    outcome: Outcome | None
    explanation: str
    seed: int
    seconds: float
    told: str | None = None


class Trace(BaseModel):
    """One task of one session. Not `judged`: our own failure, or a task that nothing here can score."""

    model_config = ConfigDict(frozen=True)

    task: str
    category: str
    prompt: str
    attempts: tuple[Attempt, ...]

    @property
    def solved_at(self) -> int | None:
        passed = (number for number, one in enumerate(self.attempts, 1) if one.outcome is Outcome.PASSED)
        return next(passed, None)

    @property
    def is_judged(self) -> bool:
        return all(one.outcome not in (None, Outcome.INFRA_ERROR) for one in self.attempts)


def pass_rates(traces: Sequence[Trace], attempts: int) -> list[Figure]:
    """Of 100, the tasks solved within 1, 2, … attempts, over those that could be judged."""
    judged = [trace.solved_at for trace in traces if trace.is_judged]
    return [
        stats.figure([100.0 * (solved is not None and solved <= most) for solved in judged])
        for most in range(1, attempts + 1)
    ]
