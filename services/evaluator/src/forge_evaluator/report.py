"""From samples to the scorecard: figures, flips, canaries, guards. What the verdict is, `gate.py` says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from forge_common.contracts.domain import EvalRules
from forge_common.contracts.scorecard import (
    Figure,
    GroupScore,
    GuardScore,
    Outcome,
    ParityCheck,
    PassRate,
    Scorecard,
)
from forge_common.contracts.stages import EvaluateRequest
from forge_evaluator import extract, gate, scorers, stats
from forge_evaluator.benchmarks import Benchmark
from forge_evaluator.gate import Guard, Pair
from forge_evaluator.runner import Plan
from forge_evaluator.samples import Role, Sample

# Where a kind of task has points but no pass mark, so many points more or less are a flip.
FLIP_POINTS = 10.0


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the figures were made under, and cannot be read from the samples."""

    sandbox: str
    judge: str = "none"
    parity: tuple[ParityCheck, ...] = ()
    remarks: tuple[str, ...] = ()
    duration_s: float = 0.0


def scorecard(
    request: EvaluateRequest,
    benchmark: Benchmark,
    plan: Plan,
    samples: Sequence[Sample],
    circumstances: Circumstances,
) -> Scorecard:
    rules = request.domain.eval
    own = [sample for sample in samples if not sample.suite]
    pairs = pair_up(own)
    guards = _guards(request, samples)
    facts = gate.Facts(
        infra_share=infra_share(samples),
        has_incumbent=request.incumbent is not None,
        judged_before=request.judged_before,
        guards=guards,
        against="the live version" if request.is_against_live else str(request.incumbent),
    )
    decision = gate.decide(pairs, rules.gate, facts)
    digests = {model.role: model.digest for model in plan.models}
    return Scorecard(
        domain=request.domain.id,
        benchmark=benchmark.sha256,
        tasks=len(benchmark.tasks),
        samples=plan.own.samples,
        seed=plan.seed,
        temperature=plan.own.temperature,
        top_p=plan.top_p,
        max_tokens=plan.own.max_tokens,
        candidate=request.candidate,
        incumbent=request.incumbent,
        candidate_digest=digests.get(Role.CANDIDATE),
        incumbent_digest=digests.get(Role.INCUMBENT),
        is_against_live=request.is_against_live,
        sandbox=circumstances.sandbox,
        judge=circumstances.judge,
        extractor=extract.VERSION,
        scorers=scorers.VERSION,
        parity=circumstances.parity,
        overall=overall(pairs, rules),
        groups=_by(pairs, lambda pair: pair.group),
        categories=_by(pairs, lambda pair: pair.category),
        pass_rates=tuple(pass_rates(own, plan.own.samples)),
        outcomes=_outcomes(own, Role.CANDIDATE),
        incumbent_outcomes=_outcomes(own, Role.INCUMBENT),
        gained=tuple(pair.task for pair in pairs if change(pair) > 0),
        lost=tuple(pair.task for pair in pairs if change(pair) < 0),
        canaries=sum(pair.is_canary for pair in pairs),
        canaries_failed=tuple(pair.task for pair in pairs if pair.is_canary and pair.newly_fails),
        guards=tuple(_guard_score(request, guard, decision) for guard in guards),
        infra_error_share=facts.infra_share,
        lower_bound=decision.lower_bound,
        alpha=decision.alpha,
        judged_before=request.judged_before,
        detectable=decision.detectable,
        more_tasks=decision.more_tasks,
        verdict=decision.verdict,
        reasons=(*decision.reasons, *_remarks(pairs, request), *circumstances.remarks),
        same_family_allowed=request.domain.data.allow_same_family,
        duration_s=circumstances.duration_s,
    )


def pair_up(samples: Iterable[Sample]) -> list[Pair]:
    """One pair a task, of the means of its scored samples."""
    tasks: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        tasks[sample.task].append(sample)
    return [_pair(found) for found in tasks.values()]


def _pair(samples: Sequence[Sample]) -> Pair:
    ours = [sample for sample in samples if sample.role is Role.CANDIDATE]
    theirs = [sample for sample in samples if sample.role is Role.INCUMBENT]
    return Pair(
        task=samples[0].task,
        group=samples[0].group,
        category=samples[0].category,
        is_canary=samples[0].is_canary,
        candidate=_points(ours),
        incumbent=_points(theirs),
        candidate_passes=_passes(ours),
        incumbent_passes=_passes(theirs),
    )


def _points(samples: Iterable[Sample]) -> float | None:
    return _mean([sample.points for sample in samples if sample.points is not None])


def _passes(samples: Iterable[Sample]) -> float | None:
    return _mean([float(sample.passed) for sample in samples if sample.passed is not None])


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def change(pair: Pair) -> int:
    """1: the candidate does it better, -1: worse, 0: neither, or not to be said. A flip, not a nuance."""
    ours, theirs = pair.candidate_passes, pair.incumbent_passes
    if ours is not None and theirs is not None:
        return (ours > theirs) - (ours < theirs)
    gain = pair.difference
    return 0 if gain is None or abs(gain) < FLIP_POINTS else (gain > 0) - (gain < 0)


def infra_share(samples: Sequence[Sample]) -> float:
    broken = sum(sample.outcome is Outcome.INFRA_ERROR for sample in samples)
    return broken / len(samples) if samples else 0.0


def overall(pairs: Sequence[Pair], rules: EvalRules) -> GroupScore:
    """The tasks that decide, under the name of their groups when the domain names them."""
    return group_score("+".join(rules.gate.decide_on) or "overall", gate.deciding(pairs, rules.gate))


def group_score(name: str, pairs: Sequence[Pair]) -> GroupScore:
    candidate = [pair.candidate for pair in pairs if pair.candidate is not None]
    incumbent = [pair.incumbent for pair in pairs if pair.incumbent is not None]
    differences = [pair.difference for pair in pairs if pair.difference is not None]
    return GroupScore(
        group=name,
        candidate=stats.figure(candidate),
        incumbent=stats.figure(incumbent) if incumbent else None,
        difference=stats.figure(differences, lowest=-100.0) if differences else None,
    )


def pass_rates(samples: Sequence[Sample], most: int) -> Iterator[PassRate]:
    """pass@1, @2, @4, … up to `most` samples a task. A task with fewer judged samples than k is not counted for k."""
    counts = {role: _counts(samples, role) for role in Role}
    for k in sorted({2**power for power in range(most.bit_length())} | {most}):
        ours, theirs = (_pass_at(counts[role], k) for role in (Role.CANDIDATE, Role.INCUMBENT))
        if ours.n:
            yield PassRate(k=k, candidate=ours, incumbent=theirs if theirs.n else None)


def _counts(samples: Iterable[Sample], role: Role) -> list[tuple[int, int]]:
    """Judged samples and passes, task by task."""
    tasks: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        if sample.role is role and sample.passed is not None:
            tasks[sample.task].append(sample.passed)
    return [(len(passed), sum(passed)) for passed in tasks.values()]


def _pass_at(counts: Iterable[tuple[int, int]], k: int) -> Figure:
    rates = [stats.pass_at_k(n, correct, k) for n, correct in counts]
    return stats.figure([100.0 * rate for rate in rates if rate is not None])


def _guards(request: EvaluateRequest, samples: Sequence[Sample]) -> tuple[Guard, ...]:
    return tuple(
        Guard(guard.domain, pair_up(sample for sample in samples if sample.suite == guard.domain))
        for guard in request.guards
    )


def _guard_score(request: EvaluateRequest, guard: Guard, decision: gate.Decision) -> GuardScore:
    return GuardScore(
        domain=guard.domain,
        benchmark=next(one.benchmark for one in request.guards if one.domain == guard.domain),
        tasks=len(guard.pairs),
        score=group_score(guard.domain, guard.pairs),
        is_harmed=gate.guard_name(guard) in decision.harmed,
    )


def _by(pairs: Sequence[Pair], key: Callable[[Pair], str]) -> tuple[GroupScore, ...]:
    names = sorted({key(pair) for pair in pairs})
    return tuple(group_score(name, [pair for pair in pairs if key(pair) == name]) for name in names)


def _outcomes(samples: Iterable[Sample], role: Role) -> dict[str, int]:
    return dict(Counter(sample.ended for sample in samples if sample.role is role))


def _remarks(pairs: Sequence[Pair], request: EvaluateRequest) -> Iterator[str]:
    unscored = sum(pair.candidate is None for pair in pairs)
    if unscored:
        yield f"{unscored} of {len(pairs)} tasks could not be scored"
    if request.domain.data.allow_same_family:
        yield "training data may hold other instances of the benchmark's task families"
