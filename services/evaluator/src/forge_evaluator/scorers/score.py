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
    """`points` of 100. `evidence` quotes what decided; `explanation` is for a person."""

    model_config = ConfigDict(frozen=True)

    points: float | None
    outcome: Outcome | None
    parts: Parts = Parts()
    code: str | None = None
    evidence: tuple[str, ...] = ()
    explanation: str
    cpu_s: float = 0.0


def unscored(explanation: str, outcome: Outcome | None = None) -> Score:
    return Score(points=None, outcome=outcome, explanation=explanation)
