"""What the evaluator found: every figure with its n and interval, and the verdict in words."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

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
    """One group or category of tasks, for both models; `difference` is candidate minus incumbent, paired by task."""

    group: str
    candidate: Figure
    incumbent: Figure | None = None
    difference: Figure | None = None


class PassRate(Contract):
    """Unbiased pass@k, of 100, over the tasks that pass or fail and have at least `k` judged samples."""

    k: int = Field(ge=1)
    candidate: Figure
    incumbent: Figure | None = None


class GuardScore(Contract):
    """Another domain's benchmark, or part of it, answered by the same two models: did the candidate forget?"""

    domain: str
    benchmark: Sha256
    tasks: int
    score: GroupScore
    is_harmed: bool


class ParityCheck(Contract):
    """How many of the trained weights' own greedy answers the engine gave, before anything was judged."""

    model: str
    equal: int
    asked: int


class Scorecard(Payload):
    """Names every input by hash or digest, so that the figures can be made again."""

    domain: str
    benchmark: Sha256
    tasks: int
    samples: int
    seed: int
    temperature: float
    top_p: float | None = None
    max_tokens: int | None = None
    candidate: str
    incumbent: str | None
    candidate_digest: str | None = None
    incumbent_digest: str | None = None
    is_against_live: bool = True
    """False for a comparison of two versions that somebody asked for: it promotes nothing."""
    sandbox: str
    judge: str = "none"
    extractor: str = ""
    scorers: str = ""
    parity: tuple[ParityCheck, ...] = ()
    overall: GroupScore
    groups: tuple[GroupScore, ...]
    categories: tuple[GroupScore, ...] = ()
    pass_rates: tuple[PassRate, ...] = ()
    outcomes: dict[str, int]
    """Of the candidate's samples."""
    incumbent_outcomes: dict[str, int] = Field(default_factory=dict)
    gained: tuple[str, ...] = ()
    """Tasks that the candidate passes more often than the incumbent; `lost`: less often."""
    lost: tuple[str, ...] = ()
    canaries: int = 0
    canaries_failed: tuple[str, ...] = ()
    """Tasks marked as canary that the incumbent passed and the candidate fails."""
    guards: tuple[GuardScore, ...] = ()
    infra_error_share: float
    lower_bound: float | None
    """One-sided lower bound of the paired mean difference at `alpha`, in points."""
    alpha: float
    """The level that this candidate was judged at: what others spent on the same benchmark version is gone."""
    judged_before: int = 0
    """Candidates that were judged on the same benchmark version before this one."""
    detectable: float | None
    """The smallest true difference that this evaluation would have found with 80 % power, in points."""
    more_tasks: int | None = None
    """About so many more tasks would decide an inconclusive verdict, if the gain is as large as it looks."""
    verdict: Verdict
    reasons: tuple[str, ...]
    """In words, the one that decided first."""
    same_family_allowed: bool = False
    duration_s: float = 0.0

    @property
    def headline(self) -> str:
        """The verdict in words that a person understands."""
        ours, theirs = self.candidate, self.incumbent or "nothing"
        stays = f": {theirs} stays live" if self.is_against_live else ""
        return {
            Verdict.PROMOTE: f"{ours} is better than {theirs}" + (": it may go live" if stays else ""),
            Verdict.KEEP: f"{ours} is not to be preferred to {theirs}{stays}",
            Verdict.INCONCLUSIVE: f"Whether {ours} is better than {theirs} is not decided{stays}",
            Verdict.INSUFFICIENT_DATA: f"There is too little to judge {ours} by{stays if self.incumbent else ''}",
        }[self.verdict]
