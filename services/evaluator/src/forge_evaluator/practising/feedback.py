"""What a model is told about an answer that did not pass: failing visible tests and errors, never anything of a hidden one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import (
    Check,
    CodeCheck,
    DocumentCheck,
    HarnessCheck,
    ShellCheck,
    SqlCheck,
    Task,
)
from forge_evaluator.practising.trace import Attempt
from forge_evaluator.scorers import Answered, Score

Judge = Callable[[Task, Answered], Score]

MOST_CHARACTERS = 1500
_ENDED = {
    Outcome.NO_CODE: "There is no code in your answer that does what was asked.",
    Outcome.TRUNCATED: "Your answer broke off before its end: be shorter.",
    Outcome.TIMEOUT: "Your code took too long.",
    Outcome.OOM: "Your code used too much memory.",
    Outcome.DIED: "Your code ended its own process.",
}
_CODE = (CodeCheck, HarnessCheck, SqlCheck, ShellCheck)
_FIX = "Correct it, and answer with the whole solution in one code block."
_OTHERS = (
    "It passes the tests that you may see, but fails others. Read the task again and think of other inputs."
)


def feedback(task: Task, attempt: Attempt, judge: Judge) -> str:
    """The next message to the model. The attempt failed all tests together; what is quoted failed the visible ones alone."""
    if not isinstance(task.check, _CODE):
        return _prose(task)
    lines = [_ENDED[attempt.outcome]] if attempt.outcome in _ENDED else []
    shown = only_visible(task)
    if shown is not None and attempt.code is not None:
        seen = judge(shown, Answered(text=attempt.answer))
        if seen.outcome is not Outcome.PASSED:
            lines += [f"- {line}" for line in seen.evidence]
        elif not lines:
            lines.append(_OTHERS)
    if not lines:
        lines.append("Your solution fails its tests.")
    text = "\n".join(["Your solution does not pass.", *lines])
    return f"{text[:MOST_CHARACTERS]}\n{_FIX}"


def only_visible(task: Task) -> Task | None:
    """The same task with its visible tests alone; None where there are none, or where tests are code and cannot be told apart."""
    check: Any = task.check
    if not isinstance(check, (CodeCheck, SqlCheck, ShellCheck)):
        return None
    visible = tuple(case for case in check.tests if not case.hidden)
    if not visible:
        return None
    shown: Check = check.model_copy(update={"tests": visible})
    return task.model_copy(update={"check": shown})


def _prose(task: Task) -> str:
    if isinstance(task.check, DocumentCheck):
        return "Your answer does not yet do all that the task asks for. Read it again, and answer it anew, in full."
    return "That is not the right answer. Think again, and answer in the form that the task asks for."
