"""A score and why. `points=None` is unscored: it enters no mean and is never read as zero."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from forge_common.contracts.scorecard import Outcome


class Answered(BaseModel):
    """What came back from a model for one sample."""

    model_config = ConfigDict(frozen=True)

    text: str
    finish_reason: str | None = None


class Parts(BaseModel):
    """Shares of 1; None where a part could not be decided, and then its weight is left out."""

    model_config = ConfigDict(frozen=True)

    structure: float | None = None
    correctness: float | None = None
    similarity: float | None = None
    completeness: float | None = None


class Score(BaseModel):
    """`points` of 100. `evidence` quotes what decided; `explanation` is for a person.

    `is_weak`: the tests ran where the answer could have forged what they saw.
    """

    model_config = ConfigDict(frozen=True)

    points: float | None
    outcome: Outcome | None
    parts: Parts = Parts()
    code: str | None = None
    evidence: tuple[str, ...] = ()
    explanation: str
    is_weak: bool = False
    cpu_s: float = 0.0


def unscored(explanation: str, outcome: Outcome | None = None) -> Score:
    return Score(points=None, outcome=outcome, explanation=explanation)


def nothing(outcome: Outcome, explanation: str, code: str | None = None) -> Score:
    """Zero in every part: a gate was not passed."""
    zero = Parts(structure=0.0, correctness=0.0, similarity=0.0, completeness=0.0)
    return Score(points=None, outcome=outcome, parts=zero, code=code, explanation=explanation)
