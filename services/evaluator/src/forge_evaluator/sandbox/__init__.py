"""Runs a model's code behind walls and reports what it answered. Judges nothing; knows no expected value."""

from forge_evaluator.sandbox.model import (
    Answer,
    End,
    Execution,
    Job,
    Limits,
    NoSandbox,
    Reply,
    SandboxLost,
    Tagged,
    Walls,
)
from forge_evaluator.sandbox.pool import Pool
from forge_evaluator.sandbox.tier import Tier, probe

__all__ = [
    "Answer",
    "End",
    "Execution",
    "Job",
    "Limits",
    "NoSandbox",
    "Pool",
    "Reply",
    "SandboxLost",
    "Tagged",
    "Tier",
    "Walls",
    "probe",
]
