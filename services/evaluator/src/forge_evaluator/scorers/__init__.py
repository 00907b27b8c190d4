"""Scorers: each looks at one answer and returns a Score with its reasons, or says that it cannot decide."""

from forge_evaluator.scorers.compose import score
from forge_evaluator.scorers.score import Answered, Score

__all__ = ["VERSION", "Answered", "Score", "score"]

VERSION = "3"
"""Another one where the same answer may score otherwise: scores of two versions are never compared or kept together."""
