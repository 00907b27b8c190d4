"""What happens next: pure decisions about runs, from facts that others looked up. No I/O, no clock, no session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forge_common.contracts.base import ArtifactRef
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.runs import NEXT, STAGES, Hardware, RunKind, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import (
    BaseModelRef,
    Deployable,
    DeployRequest,
    EvaluateRequest,
    ExportRequest,
    GuardBenchmark,
    ParityProbe,
    PrepareRequest,
    StageKind,
    StageRequest,
    TrainRequest,
)
from forge_common.contracts.tasks import TRAINERS
from forge_registry.errors import ImpossibleTransition, NothingToJudge, NoTrainerAlive
from forge_registry.models import Version

# Fastest first.
PREFERENCE = (Hardware.CUDA, Hardware.MLX, Hardware.CPU)


@dataclass(frozen=True)
class Step:
    """One stage of a run, its place in the run, and the run's state while it is worked on."""

    stage: StageKind
    state: RunState
    position: int


@dataclass(frozen=True)
class Contest:
    """Who is judged against whom, and what the gate must know about it."""

    candidate: str
    candidate_probes: tuple[ParityProbe, ...] = ()
    incumbent: str | None = None
    incumbent_probes: tuple[ParityProbe, ...] = ()
    is_against_live: bool = True
    judged_before: int = 0
    guards: tuple[GuardBenchmark, ...] = ()
    parity_share: float = 0.5


@dataclass(frozen=True)
class Facts:
    """What a stage's request is made from. `deployables` and `contest` are set for the stages that need them."""

    document: DomainDocument
    base: BaseModelRef
    base_gguf: ArtifactRef | None = None
    dataset: str | None = None
    adapter: str | None = None
    parent: str | None = None
    replay: str | None = None
    deployables: tuple[Deployable, ...] = ()
    contest: Contest | None = None


@dataclass(frozen=True)
class Decision:
    """Whether the pointer moves, and why, in words."""

    promote: bool
    reason: str


def steps(kind: RunKind, *, has_benchmark: bool) -> tuple[Step, ...]:
    """The stages of a run. Without a benchmark there is nothing to evaluate with."""
    return tuple(
        Step(stage, state, position)
        for position, (stage, state) in enumerate(STAGES[kind])
        if has_benchmark or stage is not StageKind.EVALUATE
    )


def first_step(kind: RunKind, *, has_benchmark: bool, dataset: bool, adapter: bool, exported: bool) -> Step:
    """Where a run begins: past the stages whose outcome it was given.

    Deployment is always done again: it costs nothing where the engine has everything.
    """
    if kind is RunKind.EVAL and not has_benchmark:
        raise NothingToJudge(
            "the domain has no benchmark to judge a version with",
            fix="upload one: PUT /v1/domains/{id}/benchmark",
        )
    done = {
        StageKind.PREPARE: dataset or adapter or exported,
        StageKind.TRAIN: adapter or exported,
        StageKind.EXPORT: exported,
    }
    return next(step for step in steps(kind, has_benchmark=has_benchmark) if not done.get(step.stage))


def next_step(kind: RunKind, finished: StageKind, *, has_benchmark: bool) -> Step | None:
    """The step after `finished`; None when the run is to be decided."""
    plan = steps(kind, has_benchmark=has_benchmark)
    stages = [step.stage for step in plan]
    following = stages.index(finished) + 1
    return plan[following] if following < len(plan) else None


def check_transition(run: str, now: RunState, then: RunState) -> None:
    """Raises ImpossibleTransition."""
    if then not in NEXT[now]:
        raise ImpossibleTransition(f"run {run} cannot go from {now} to {then}")


def choose_hardware(asked: Hardware, kind: RunKind, alive: Iterable[str]) -> Hardware:
    """`auto` becomes the fastest hardware with a live worker; `alive` are the queues that live workers consume.

    Raises NoTrainerAlive, for an explicit choice too: a run that waits for a machine which may never come says nothing.
    """
    if kind is RunKind.EVAL:
        return asked
    queues = set(alive)
    living = [hardware for hardware in PREFERENCE if TRAINERS[hardware].queue in queues]
    if asked in living:
        return asked
    if asked is Hardware.AUTO and living:
        return living[0]
    which = "training worker" if asked is Hardware.AUTO else f"{asked} worker"
    others = f"; alive: {', '.join(living)}" if living else ""
    raise NoTrainerAlive(
        f"no {which} is alive{others}",
        fix=f"start one, here with `forge up` or on another machine with `forge worker {_worker(asked)}`",
    )


def _worker(asked: Hardware) -> str:
    return "cuda|mlx|cpu" if asked is Hardware.AUTO else asked


def request_for(stage: StageKind, facts: Facts) -> StageRequest:
    """What the worker that claims `stage` is asked to do."""
    document = facts.document
    match stage:
        case StageKind.PREPARE:
            return PrepareRequest(domain=document, benchmark=document.benchmark)
        case StageKind.TRAIN:
            assert facts.dataset is not None
            return TrainRequest(
                domain=document,
                dataset=facts.dataset,
                base=facts.base,
                parent=facts.parent,
                replay=facts.replay,
            )
        case StageKind.EXPORT:
            return ExportRequest(
                domain=document,
                base=facts.base,
                base_gguf=facts.base_gguf,
                adapter=facts.adapter,
                dataset=facts.dataset,
            )
        case StageKind.DEPLOY:
            return DeployRequest(versions=facts.deployables)
        case StageKind.EVALUATE:
            assert document.benchmark is not None
            assert facts.contest is not None
            return EvaluateRequest(domain=document, benchmark=document.benchmark, **vars(facts.contest))


def guards(document: DomainDocument, others: Sequence[DomainDocument]) -> tuple[GuardBenchmark, ...]:
    """The benchmarks that a candidate of `document` must not forget: of the domains that it names, else of those on the
    same base. Those without a benchmark are passed over.
    """
    rules = document.eval
    return tuple(
        GuardBenchmark(
            domain=other.id,
            benchmark=other.benchmark,
            scoring=other.eval.scoring,
            temperature=other.eval.temperature,
            max_tokens=other.eval.max_tokens,
            tasks=rules.guard_tasks,
        )
        for other in others
        if rules.guard_tasks
        and other.benchmark is not None
        and other.id != document.id
        and other.benchmark != document.benchmark
        and _is_guarded(document, other)
    )


def _is_guarded(document: DomainDocument, other: DomainDocument) -> bool:
    named = document.eval.guard_domains
    if named is not None:
        return other.id in named
    return (other.base_model, other.base_revision) == (document.base_model, document.base_revision)


def check_guards(document: DomainDocument, others: Sequence[DomainDocument]) -> None:
    """Raises NothingToJudge when a guard that the document names cannot be asked: it would stand open unnoticed."""
    usable = {other.id for other in others if other.benchmark is not None}
    missing = sorted(set(document.eval.guard_domains or ()) - usable - {document.id})
    if missing and document.eval.guard_tasks:
        raise NothingToJudge(
            f"{document.id!r} is guarded by {', '.join(missing)}, which has no benchmark here",
            fix="upload one, or take the name out of eval.guard_domains",
        )


def deployable(version: Version) -> Deployable:
    """The version as the engine shall have it: fused when it was exported so, else the adapter on the shared base."""
    return Deployable(
        model=version.model,
        gguf=version.fused_gguf or version.base_gguf,
        adapter=None if version.fused_gguf else version.adapter_gguf,
        system_prompt=version.system_prompt,
        parameters=version.parameters,
        probes=version.probes,
        digest=version.digest,
    )


def decide(
    kind: RunKind, verdict: Verdict | None, *, judged_against: int | None, live: int | None
) -> Decision:
    """What a finished evaluation leads to. A verdict counts only against the version that is live now."""
    if kind is RunKind.EVAL:
        return Decision(promote=False, reason="an evaluation only judges")
    if verdict is not Verdict.PROMOTE:
        return Decision(promote=False, reason=f"the gate says {verdict or Verdict.INSUFFICIENT_DATA}")
    if judged_against != live:
        return Decision(
            promote=False,
            reason=f"judged against {_name(judged_against)}, but {_name(live)} is live now: evaluate again",
        )
    return Decision(promote=True, reason=f"the gate says promote: better than {_name(live)}")


def _name(number: int | None) -> str:
    return "nothing" if number is None else f"v{number}"
