"""The composite: the domain's weights over the parts that could be decided. Nothing decided: unscored."""

from __future__ import annotations

from forge_common.contracts.domain import Scoring
from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import Check, ChoiceCheck, DocumentCheck, ExactCheck, NumberCheck, Task
from forge_evaluator.sandbox import LanguageRefused, SandboxLost
from forge_evaluator.scorers import code, document, exact, short
from forge_evaluator.scorers.judge import JudgeDown, JudgeRefused
from forge_evaluator.scorers.score import Answered, Parts, Score, unscored


def score(
    task: Task,
    answered: Answered,
    weights: Scoring,
    sandbox: code.Runs,
    judge: document.Judges | None = None,
) -> Score:
    """Judge one answer. A sandbox or a judge that fails is an INFRA_ERROR and unscored, never zero."""
    if task.check is None:
        return unscored("unscored: the task has neither tests nor an exact answer")
    try:
        judged = _judge(task, task.check, answered, sandbox, judge)
    except (SandboxLost, LanguageRefused, JudgeDown, JudgeRefused) as error:
        return unscored(f"unscored: {error.message}", Outcome.INFRA_ERROR)
    points = compose(judged.parts, weights)
    if points is None:
        return judged.model_copy(
            update={"explanation": f"unscored: no weight on what was measured; {judged.explanation}"}
        )
    return judged.model_copy(update={"points": points})


def _judge(
    task: Task, check: Check, answered: Answered, sandbox: code.Runs, judge: document.Judges | None
) -> Score:
    if isinstance(check, ExactCheck):
        return exact.score(check, answered)
    if isinstance(check, ChoiceCheck):
        return short.choice(task, check, answered)
    if isinstance(check, NumberCheck):
        return short.number(task, check, answered)
    if isinstance(check, code.CODE_CHECKS):
        return code.score(task, check, answered, sandbox)
    if isinstance(check, DocumentCheck):
        return document.score(task, check, answered, judge)
    return unscored(f"unscored: no scorer for checks of kind {check.kind!r}")


def compose(parts: Parts, weights: Scoring) -> float | None:
    """0–100; None when no part with a weight could be decided."""
    decided = [
        (part, weight)
        for part, weight in (
            (parts.structure, weights.structure.weight),
            (parts.correctness, weights.correctness.weight),
            (parts.similarity, weights.similarity.weight),
            (parts.completeness, weights.completeness.weight),
        )
        if part is not None and weight > 0
    ]
    total = sum(weight for _, weight in decided)
    return 100.0 * sum(part * weight for part, weight in decided) / total if total else None
