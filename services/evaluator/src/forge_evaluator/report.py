"""From samples to the scorecard, and to a page for people: what flipped first. Escapes everything that a model wrote."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from forge_common.contracts.domain import EvalRules
from forge_common.contracts.scorecard import GroupScore, Outcome, Scorecard
from forge_common.contracts.stages import EvaluateRequest
from forge_evaluator import gate, stats
from forge_evaluator.benchmarks import Benchmark
from forge_evaluator.gate import Pair
from forge_evaluator.runner import Plan
from forge_evaluator.samples import Role, Sample


def scorecard(
    request: EvaluateRequest,
    benchmark: Benchmark,
    plan: Plan,
    samples: Sequence[Sample],
    *,
    sandbox: str,
    duration_s: float,
) -> Scorecard:
    rules = request.domain.eval
    pairs = pair_up(samples)
    infra = infra_share(samples)
    decision = gate.decide(pairs, rules.gate, infra_share=infra, has_incumbent=request.incumbent is not None)
    digests = {model.role: model.digest for model in plan.models}
    ours = [sample for sample in samples if sample.role is Role.CANDIDATE]
    return Scorecard(
        domain=request.domain.id,
        benchmark=benchmark.sha256,
        tasks=len(benchmark.tasks),
        samples=plan.samples,
        seed=plan.seed,
        temperature=plan.temperature,
        candidate=request.candidate,
        incumbent=request.incumbent,
        candidate_digest=digests.get(Role.CANDIDATE),
        incumbent_digest=digests.get(Role.INCUMBENT),
        sandbox=sandbox,
        overall=overall(pairs, rules),
        groups=tuple(group_score(name, _of(pairs, name)) for name in sorted({pair.group for pair in pairs})),
        outcomes=dict(Counter(str(sample.outcome or "unscored") for sample in ours)),
        infra_error_share=infra,
        lower_bound=decision.lower_bound,
        alpha=rules.gate.alpha,
        detectable=decision.detectable,
        verdict=decision.verdict,
        reasons=(*decision.reasons, *_remarks(pairs, request)),
        same_family_allowed=request.domain.data.allow_same_family,
        duration_s=duration_s,
    )


def pair_up(samples: Iterable[Sample]) -> list[Pair]:
    """One pair a task, of the means of its scored samples."""
    groups: dict[str, str] = {}
    points: dict[tuple[str, Role], list[float]] = defaultdict(list)
    for sample in samples:
        groups[sample.task] = sample.group
        if sample.points is not None:
            points[sample.task, sample.role].append(sample.points)
    return [
        Pair(task, group, _mean(points[task, Role.CANDIDATE]), _mean(points[task, Role.INCUMBENT]))
        for task, group in groups.items()
    ]


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


def _remarks(pairs: Sequence[Pair], request: EvaluateRequest) -> list[str]:
    unscored = sum(pair.candidate is None for pair in pairs)
    remarks = [f"{unscored} of {len(pairs)} tasks could not be scored"] if unscored else []
    if request.domain.data.allow_same_family:
        remarks.append("training data may hold other instances of the benchmark's task families")
    return remarks


def _of(pairs: Iterable[Pair], group: str) -> list[Pair]:
    return [pair for pair in pairs if pair.group == group]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
