"""Is the candidate better? Pure: paired scores in, verdict and its reasons out. Knows no model and no run.

Promote only on evidence: the one-sided lower bound of the paired mean difference is above zero, the gain is worth having,
no category and no other domain is harmed, no canary newly fails, and nearly everything could be judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from forge_common.contracts.domain import GateRules
from forge_common.contracts.scorecard import Verdict
from forge_evaluator import stats

_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """One task's mean scores, of 100; None where a model's answers were unscored.

    `candidate_passes` and `incumbent_passes` are shares of 1 of the samples, where the task passes or fails.
    """

    task: str
    group: str
    candidate: float | None
    incumbent: float | None
    category: str = ""
    candidate_passes: float | None = None
    incumbent_passes: float | None = None
    is_canary: bool = False

    @property
    def difference(self) -> float | None:
        if self.candidate is None or self.incumbent is None:
            return None
        return self.candidate - self.incumbent

    @property
    def newly_fails(self) -> bool:
        """The incumbent passed it as a rule, the candidate does not."""
        ours, theirs = self.candidate_passes, self.incumbent_passes
        return ours is not None and theirs is not None and theirs >= _HALF > ours


@dataclass(frozen=True, slots=True)
class Guard:
    """Another domain's tasks, answered by the same two models."""

    domain: str
    pairs: Sequence[Pair]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate must know beside the scores. `against` is what the incumbent is called in words."""

    infra_share: float = 0.0
    has_incumbent: bool = True
    judged_before: int = 0
    guards: tuple[Guard, ...] = ()
    against: str = "the live version"


@dataclass(frozen=True, slots=True)
class Decision:
    """`harmed` names categories, groups and guard domains; `alpha` is what was left of the gate's for this candidate."""

    verdict: Verdict
    reasons: tuple[str, ...]
    alpha: float
    lower_bound: float | None = None
    detectable: float | None = None
    more_tasks: int | None = None
    harmed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Harm:
    name: str
    words: str


def decide(pairs: Sequence[Pair], rules: GateRules, facts: Facts) -> Decision:
    alpha = rules.alpha_for(facts.judged_before)
    differences = _differences(deciding(pairs, rules))
    harms = list(harm(pairs, rules, facts.guards))
    settled = _lacking(differences, rules, facts) or _losing(pairs, harms, differences, facts)
    verdict, reasons = settled or _compare(differences, rules, alpha, facts)
    more = _more(differences, alpha) if not settled and verdict is Verdict.INCONCLUSIVE else None
    return Decision(
        verdict,
        (*reasons, *_hints(verdict, more, facts, alpha)),
        alpha,
        lower_bound=stats.lower_bound(differences, alpha),
        detectable=stats.detectable(differences, alpha),
        more_tasks=more,
        harmed=tuple(one.name for one in harms),
    )


def deciding(pairs: Iterable[Pair], rules: GateRules) -> list[Pair]:
    """The pairs whose difference decides; the others are only guarded."""
    return [pair for pair in pairs if not rules.decide_on or pair.group in rules.decide_on]


def harm(pairs: Sequence[Pair], rules: GateRules, guards: Iterable[Guard] = ()) -> Iterator[Harm]:
    """Categories, groups and other domains that lost `max_group_drop` points or more, on evidence.

    The level is for all of them together: each of many small categories may look bad by chance.
    """
    parts = {name: found for name, found in _parts(pairs, guards).items() if len(found) > 1}
    level = 1 - rules.harm_evidence ** (1 / max(1, len(parts)))
    for name, found in parts.items():
        loss = -fmean(found)
        ceiling = stats.upper_bound(found, level)
        if loss >= rules.max_group_drop and ceiling is not None and ceiling < 0:
            tolerated = f"at most {rules.max_group_drop:g} are tolerated"
            yield Harm(name, f"{name} lost {loss:.1f} points over {len(found)} tasks, {tolerated}")


def _parts(pairs: Sequence[Pair], guards: Iterable[Guard]) -> dict[str, list[float]]:
    """Differences by what they belong to, each set of tasks once."""
    parts: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        parts[f"the group {pair.group!r}"].append(pair)
    for pair in pairs:
        if pair.category and pair.category != pair.group:
            parts[f"the category {pair.category!r}"].append(pair)
    for guard in guards:
        parts[guard_name(guard)].extend(guard.pairs)
    distinct = {tuple(map(id, found)): name for name, found in reversed(parts.items())}
    return {name: _differences(found) for name, found in parts.items() if name in distinct.values()}


def guard_name(guard: Guard) -> str:
    return f"the domain {guard.domain!r}"


def _lacking(differences: list[float], rules: GateRules, facts: Facts) -> tuple[Verdict, list[str]] | None:
    """Why nothing can be concluded, if so."""
    if not facts.has_incumbent:
        return Verdict.INSUFFICIENT_DATA, ["there was no other version to compare with"]
    if facts.infra_share and facts.infra_share >= rules.max_infra_errors:
        text = f"{facts.infra_share:.1%} of the answers could not be judged because of our own errors"
        return Verdict.INCONCLUSIVE, [f"{text}, it must be under {rules.max_infra_errors:.1%}"]
    if len(differences) < rules.min_tasks:
        text = f"{len(differences)} tasks were scored for both versions, the gate needs {rules.min_tasks}"
        return Verdict.INSUFFICIENT_DATA, [text]
    return None


def _losing(
    pairs: Sequence[Pair], harms: Sequence[Harm], differences: list[float], facts: Facts
) -> tuple[Verdict, list[str]] | None:
    """What no gain makes up for."""
    reasons = [
        f"the canary {pair.task!r} newly fails" for pair in pairs if pair.is_canary and pair.newly_fails
    ]
    reasons += [one.words for one in harms]
    return (Verdict.KEEP, [*reasons, _said(differences, facts)]) if reasons else None


def _said(differences: list[float], facts: Facts) -> str:
    gain = fmean(differences)
    return f"over {len(differences)} tasks the candidate scores {gain:+.1f} points against {facts.against}"


def _compare(
    differences: list[float], rules: GateRules, alpha: float, facts: Facts
) -> tuple[Verdict, list[str]]:
    gain = fmean(differences)
    bound = stats.lower_bound(differences, alpha)
    assert bound is not None  # min_tasks is two or more
    said = _said(differences, facts)
    if gain <= 0:
        return Verdict.KEEP, [f"{said}: it is not better"]
    if gain < rules.min_gain:
        return Verdict.KEEP, [f"{said}: less than the {rules.min_gain:g} points that are worth a promotion"]
    if bound <= 0:
        return Verdict.INCONCLUSIVE, [f"{said}, which chance explains as well (lower bound {bound:+.1f})"]
    return Verdict.PROMOTE, [
        f"{said}; with {sureness(alpha)} confidence the true gain is above {bound:.1f}",
        f"no category and no other domain lost {rules.max_group_drop:g} points or more on evidence",
    ]


def _hints(verdict: Verdict, more: int | None, facts: Facts, alpha: float) -> Iterator[str]:
    if more is not None:
        yield f"about {more} more tasks would decide it, if the gain is as large as it looks"
    if facts.judged_before and verdict in (Verdict.PROMOTE, Verdict.INCONCLUSIVE):
        others = "one candidate" if facts.judged_before == 1 else f"{facts.judged_before} candidates"
        yield f"{others} had been judged on this benchmark before, so {sureness(alpha)} confidence is asked for"


def _more(differences: list[float], alpha: float) -> int | None:
    total = stats.needed(differences, alpha)
    return None if total is None or total <= len(differences) else total - len(differences)


def sureness(alpha: float) -> str:
    return f"{100 * (1 - alpha):.3g} %"


def _differences(pairs: Iterable[Pair]) -> list[float]:
    return [pair.difference for pair in pairs if pair.difference is not None]
