"""Exact answers: right or wrong after normalising spacing, Unicode form and surrounding quotes. No partial credit."""

from __future__ import annotations

import unicodedata

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import ExactCheck
from forge_evaluator.extract import strip
from forge_evaluator.scorers.prose import MAX_CHARS, few_marks
from forge_evaluator.scorers.score import Answered, Parts, Score

_QUOTES = ("'", '"', "`", "“”", "‘’")


def score(check: ExactCheck, answered: Answered) -> Score:
    expected, actual = normalise(check.expected), normalise(strip(answered.text))
    is_right = actual in {expected, *map(normalise, check.also)}
    return Score(
        points=None,
        outcome=Outcome.PASSED if is_right else _failure(answered),
        parts=Parts(correctness=float(is_right)),
        evidence=(f"expected {expected[:200]!r}", f"got {actual[:200]!r}"),
        explanation="the answer is the expected one"
        if is_right
        else "the answer differs from the expected one",
    )


def _failure(answered: Answered) -> Outcome:
    return Outcome.TRUNCATED if answered.finish_reason == "length" else Outcome.WRONG


def normalise(text: str) -> str:
    """Of what is far longer than any short answer the beginning, which is no right answer either.

    Runs of combining marks are cut before anything else: putting them in order takes quadratic time.
    """
    text = few_marks(text[:MAX_CHARS])
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    for pair in _QUOTES:
        if len(text) > 1 and text[0] == pair[0] and text[-1] == pair[-1]:
            return text[1:-1].strip()
    return text
