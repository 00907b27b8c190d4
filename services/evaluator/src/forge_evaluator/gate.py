"""Is the candidate better? Pure: paired scores in, verdict and its reasons out. Knows no model and no run.

Promote only on evidence: the one-sided lower bound of the paired mean difference is above zero, the gain is worth having,
no group of tasks is harmed, and nearly everything could be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from forge_common.contracts.domain import GateRules
from forge_common.contracts.scorecard import Verdict
from forge_evaluator import stats

# A group counts as harmed when its loss is more likely real than not at this one-sided level.
_HARM_ALPHA = 0.2


@dataclass(frozen=True, slots=True)
class Pair:
    """One task's mean scores, of 100; None where a model's answers were unscored."""

    task: str
    group: str
    candidate: float | None
    incumbent: float | None

    @property
    def difference(self) -> float | None:
        if self.candidate is None or self.incumbent is None:
            return None
        return self.candidate - self.incumbent


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    reasons: tuple[str, ...]
    lower_bound: float | None = None
    detectable: float | None = None


def decide(
    pairs: Sequence[Pair], rules: GateRules, *, infra_share: float, has_incumbent: bool = True
) -> Decision:
    differences = _differences(deciding(pairs, rules))
    bound = stats.lower_bound(differences, rules.alpha)
    lacking = _lacking(differences, rules, infra_share, has_incumbent=has_incumbent)
    verdict, reasons = lacking or _judge(pairs, differences, rules)
    return Decision(verdict, tuple(reasons), bound, stats.detectable(differences, rules.alpha))


def deciding(pairs: Iterable[Pair], rules: GateRules) -> list[Pair]:
    """The pairs whose difference decides; the others are only guarded."""
    return [pair for pair in pairs if not rules.decide_on or pair.group in rules.decide_on]


def _lacking(
    differences: list[float], rules: GateRules, infra_share: float, *, has_incumbent: bool
) -> tuple[Verdict, list[str]] | None:
    """Why nothing can be concluded, if so."""
    if not has_incumbent:
        return Verdict.INSUFFICIENT_DATA, ["there was no live version to compare with"]
    if infra_share > rules.max_infra_errors:
        text = f"{infra_share:.1%} of the answers could not be judged because of our own errors"
        return Verdict.INCONCLUSIVE, [f"{text}, at most {rules.max_infra_errors:.1%} are tolerated"]
    if len(differences) < rules.min_tasks:
        text = f"{len(differences)} tasks were scored for both versions, the gate needs {rules.min_tasks}"
        return Verdict.INSUFFICIENT_DATA, [text]
    return None


def _judge(pairs: Sequence[Pair], differences: list[float], rules: GateRules) -> tuple[Verdict, list[str]]:
    harmed = list(_harmed(pairs, rules))
    return (Verdict.KEEP, harmed) if harmed else _compare(differences, rules)


def _compare(differences: list[float], rules: GateRules) -> tuple[Verdict, list[str]]:
    gain, sure = fmean(differences), f"{1 - rules.alpha:.0%}"
    bound = stats.lower_bound(differences, rules.alpha)
    assert bound is not None  # min_tasks is two or more
    said = f"over {len(differences)} tasks the candidate scores {gain:+.1f} points against the live version"
    if bound > 0 and gain >= rules.min_gain:
        return Verdict.PROMOTE, [
            f"{said}; with {sure} confidence the true gain is above {bound:.1f}",
            *_no_harm(rules),
        ]
    if gain <= 0:
        return Verdict.KEEP, [f"{said}: it is not better"]
    ceiling = stats.upper_bound(differences, rules.alpha)
    if bound > 0 or (ceiling is not None and ceiling < rules.min_gain):
        return Verdict.KEEP, [f"{said}: less than the {rules.min_gain:g} points that are worth a promotion"]
    return Verdict.INCONCLUSIVE, [
        f"{said}, which chance explains as well (lower bound {bound:+.1f})",
        *_more(differences, rules),
    ]


def _more(differences: list[float], rules: GateRules) -> list[str]:
    total = stats.needed(differences, rules.alpha)
    if total is None or total <= len(differences):
        return []
    return [
        f"about {total - len(differences)} more tasks would decide it, if the gain is as large as it looks"
    ]


def _no_harm(rules: GateRules) -> list[str]:
    return [f"no group of tasks lost {rules.max_group_drop:g} points or more on evidence"]


def _harmed(pairs: Sequence[Pair], rules: GateRules) -> Iterable[str]:
    for group in sorted({pair.group for pair in pairs}):
        differences = _differences(pair for pair in pairs if pair.group == group)
        ceiling = stats.upper_bound(differences, _HARM_ALPHA)
        if ceiling is not None and ceiling < 0 and fmean(differences) <= -rules.max_group_drop:
            yield (
                f"the group {group!r} lost {-fmean(differences):.1f} points over {len(differences)} tasks, "
                f"at most {rules.max_group_drop:g} are tolerated"
            )


def _differences(pairs: Iterable[Pair]) -> list[float]:
    return [pair.difference for pair in pairs if pair.difference is not None]
