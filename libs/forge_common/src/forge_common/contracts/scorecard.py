"""What the evaluator found: every figure with its n and interval, and the verdict in words."""

from __future__ import annotations

from enum import StrEnum

from forge_common.contracts.base import Contract, Payload, Sha256


class Outcome(StrEnum):
    """How one sample ended. `INFRA_ERROR` is never scored."""

    PASSED = "passed"
    WRONG = "wrong"
    ERROR = "error"
    TIMEOUT = "timeout"
    DIED = "died"
    OOM = "oom"
    TRUNCATED = "truncated"
    NO_CODE = "no_code"
    INFRA_ERROR = "infra_error"


class Verdict(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    INCONCLUSIVE = "inconclusive"
    INSUFFICIENT_DATA = "insufficient_data"


class Figure(Contract):
    """A mean of 0–100 scores with its 95 % interval; None where nothing was scored."""

    n: int
    mean: float | None
    low: float | None
    high: float | None
    stderr: float | None


class GroupScore(Contract):
    """One group of tasks, e.g. `coding`, for both models; `difference` is candidate minus incumbent, paired by task."""

    group: str
    candidate: Figure
    incumbent: Figure | None = None
    difference: Figure | None = None


class Scorecard(Payload):
    """Names every input by hash or digest, so that the figures can be made again."""

    domain: str
    benchmark: Sha256
    tasks: int
    samples: int
    seed: int
    temperature: float
    candidate: str
    incumbent: str | None
    candidate_digest: str | None = None
    incumbent_digest: str | None = None
    sandbox: str
    judge: str = "none"
    overall: GroupScore
    groups: tuple[GroupScore, ...]
    outcomes: dict[str, int]
    infra_error_share: float
    lower_bound: float | None
    """One-sided lower bound of the paired mean difference at `alpha`, in points."""
    alpha: float
    detectable: float | None
    """The smallest true difference this evaluation would have found with 80 % power, in points."""
    verdict: Verdict
    reasons: tuple[str, ...]
    same_family_allowed: bool = False
    duration_s: float = 0.0
