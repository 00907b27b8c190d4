from __future__ import annotations

import itertools

import pytest

from forge_common.contracts.runs import FINAL, NEXT, Hardware, RunKind, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import BaseModelRef, StageKind
from forge_registry import pipeline
from forge_registry.errors import ImpossibleTransition, NothingToJudge, NoTrainerAlive
from forge_registry.models import Version


def plan(
    kind: RunKind,
    *,
    has_benchmark: bool = True,
    dataset: bool = False,
    adapter: bool = False,
    exported: bool = False,
):
    """Walks a run from its first step to its decision; the stages and states it passes."""
    step = pipeline.first_step(
        kind, has_benchmark=has_benchmark, dataset=dataset, adapter=adapter, exported=exported
    )
    passed = [(step.stage, step.state)]
    while step := pipeline.next_step(kind, step.stage, has_benchmark=has_benchmark):
        passed.append((step.stage, step.state))
    return passed


def stages(*arguments, **named) -> list[StageKind]:
    return [stage for stage, _ in plan(*arguments, **named)]


def test_a_training_run_is_the_whole_loop():
    assert stages(RunKind.TRAIN) == list(StageKind)


def test_a_base_run_exports_and_deploys():
    assert stages(RunKind.BASE) == [StageKind.EXPORT, StageKind.DEPLOY]


def test_an_evaluation_run_makes_sure_that_the_engine_has_what_it_judges():
    assert stages(RunKind.EVAL) == [StageKind.DEPLOY, StageKind.EVALUATE]


def test_a_given_dataset_skips_preparing():
    assert stages(RunKind.TRAIN, dataset=True)[0] is StageKind.TRAIN


def test_a_given_adapter_skips_training_too():
    assert stages(RunKind.TRAIN, dataset=True, adapter=True)[0] is StageKind.EXPORT


@pytest.mark.parametrize("kind", [RunKind.TRAIN, RunKind.BASE])
def test_a_version_that_exists_is_not_exported_again(kind):
    assert stages(kind, exported=True)[0] is StageKind.DEPLOY


def test_without_a_benchmark_nothing_is_evaluated():
    assert stages(RunKind.TRAIN, has_benchmark=False)[-1] is StageKind.DEPLOY


def test_an_evaluation_without_a_benchmark_is_refused():
    with pytest.raises(NothingToJudge, match="no benchmark"):
        stages(RunKind.EVAL, has_benchmark=False)


@pytest.mark.parametrize("kind", RunKind)
@pytest.mark.parametrize("has_benchmark", [True, False])
@pytest.mark.parametrize(
    "done", [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]
)
def test_every_way_through_a_run_is_in_the_transition_table(kind, has_benchmark, done):
    if kind is RunKind.EVAL and not has_benchmark:
        return
    dataset, adapter, exported = done
    passed = plan(kind, has_benchmark=has_benchmark, dataset=dataset, adapter=adapter, exported=exported)
    states = [state for _, state in passed]
    walk = [RunState.QUEUED, *states, RunState.DECIDING, RunState.PROMOTED]

    for now, then in itertools.pairwise(walk):
        pipeline.check_transition("run_1", now, then)


@pytest.mark.parametrize("now", RunState)
def test_a_transition_that_is_not_in_the_table_is_a_bug(now):
    for then in set(RunState) - NEXT[now]:
        with pytest.raises(ImpossibleTransition, match=f"from {now} to {then}"):
            pipeline.check_transition("run_1", now, then)


@pytest.mark.parametrize("now", sorted(FINAL))
def test_nothing_follows_a_final_state(now):
    assert NEXT[now] == frozenset()


@pytest.mark.parametrize(
    ("alive", "chosen"),
    [
        ({"train.cpu"}, Hardware.CPU),
        ({"train.cpu", "train.mlx"}, Hardware.MLX),
        ({"train.cpu", "train.mlx", "train.cuda"}, Hardware.CUDA),
    ],
)
def test_auto_chooses_the_fastest_hardware_that_is_alive(alive, chosen):
    assert pipeline.choose_hardware(Hardware.AUTO, RunKind.TRAIN, alive) is chosen


@pytest.mark.parametrize("kind", [RunKind.TRAIN, RunKind.BASE])
def test_auto_is_refused_when_no_trainer_is_alive(kind):
    with pytest.raises(NoTrainerAlive, match="forge up"):
        pipeline.choose_hardware(Hardware.AUTO, kind, {"evaluate", "deploy"})


def test_an_evaluation_needs_no_trainer():
    assert pipeline.choose_hardware(Hardware.AUTO, RunKind.EVAL, set()) is Hardware.AUTO


def test_an_explicit_choice_is_kept_while_its_worker_is_alive():
    assert pipeline.choose_hardware(Hardware.CPU, RunKind.TRAIN, {"train.cpu", "train.cuda"}) is Hardware.CPU


def test_an_explicit_choice_without_a_worker_is_refused_and_says_what_is_alive():
    with pytest.raises(NoTrainerAlive, match="no cuda worker is alive; alive: cpu") as refused:
        pipeline.choose_hardware(Hardware.CUDA, RunKind.TRAIN, {"train.cpu"})

    assert "forge worker cuda" in str(refused.value.fix)


def test_the_training_request_names_dataset_and_base(document):
    facts = pipeline.Facts(document=document, base=BaseModelRef(name="b"), dataset="d" * 64)

    request = pipeline.request_for(StageKind.TRAIN, facts)

    assert (request.kind, request.dataset, request.base.name) == ("train", "d" * 64, "b")


def test_the_export_request_does_not_ask_for_a_base_that_is_there(document, make):
    base = make.ref(b"base")
    facts = pipeline.Facts(document=document, base=BaseModelRef(name="b"), base_gguf=base, adapter="a" * 64)

    request = pipeline.request_for(StageKind.EXPORT, facts)

    assert (request.base_gguf, request.adapter) == (base, "a" * 64)


def version_of(make, **changes) -> Version:
    fields = {
        "domain": "tiny",
        "number": 1,
        "model": "engie-tiny:v1",
        "base_gguf": make.ref(b"base"),
        "parameters": {"temperature": 0.0},
        "system_prompt": "Be brief.",
        "probes": (make.probe("x"),),
    }
    return Version(**(fields | changes))


def test_a_version_is_an_adapter_on_the_base(make):
    adapter = make.ref(b"lora")

    shown = pipeline.deployable(version_of(make, adapter_gguf=adapter))

    assert (shown.gguf, shown.adapter) == (make.ref(b"base"), adapter)
    assert (shown.system_prompt, shown.parameters) == ("Be brief.", {"temperature": 0.0})


def test_a_fused_version_is_one_file(make):
    fused = make.ref(b"fused")

    shown = pipeline.deployable(version_of(make, fused_gguf=fused))

    assert (shown.gguf, shown.adapter) == (fused, None)


def decide(verdict: Verdict | None, kind=RunKind.TRAIN, judged_against: int | None = 3, live: int | None = 3):
    return pipeline.decide(kind, verdict, judged_against=judged_against, live=live)


def test_only_promote_promotes():
    assert {verdict: decide(verdict).promote for verdict in Verdict} == {
        Verdict.PROMOTE: True,
        Verdict.KEEP: False,
        Verdict.INCONCLUSIVE: False,
        Verdict.INSUFFICIENT_DATA: False,
    }


def test_no_verdict_is_not_a_promotion():
    assert not decide(None).promote


def test_a_verdict_against_another_version_than_the_live_one_does_not_count():
    decision = decide(Verdict.PROMOTE, judged_against=3, live=4)

    assert not decision.promote
    assert "judged against v3, but v4 is live now" in decision.reason


def test_an_evaluation_promotes_nothing():
    assert not decide(Verdict.PROMOTE, kind=RunKind.EVAL).promote


def other(make, domain: str, **changes):
    return make.document(domain, **({"benchmark": make.ref(domain.encode()).sha256} | changes))


def guarded(document, *others) -> list[str]:
    return [guard.domain for guard in pipeline.guards(document, (document, *others))]


def test_a_candidate_is_guarded_by_the_domains_on_the_same_base(make, document):
    same = other(make, "legal")
    another_base = other(make, "coding", base_model="forge/other")
    another_revision = other(make, "finance", base_revision="v2")
    without_benchmark = other(make, "education", benchmark=None)

    assert guarded(document, same, another_base, another_revision, without_benchmark) == ["legal"]


def test_a_domain_that_names_its_guards_is_guarded_by_these_alone(make):
    document = make.document(eval={"guard_domains": ["coding", "tiny"]})

    assert guarded(document, other(make, "legal"), other(make, "coding", base_model="forge/other")) == [
        "coding"
    ]


def test_guards_that_ask_for_no_task_are_none(make):
    assert guarded(make.document(eval={"guard_tasks": 0}), other(make, "legal")) == []


def test_a_guard_is_scored_as_its_own_domain_says_and_bounded_as_the_candidates_says(make):
    document = make.document(eval={"guard_tasks": 7, "max_tokens": 11})
    legal = other(
        make, "legal", eval={"scoring": {"structure": {"weight": 1}}, "temperature": 0.3, "max_tokens": 500}
    )

    (guard,) = pipeline.guards(document, (legal,))

    assert (guard.benchmark, guard.tasks, guard.temperature, guard.max_tokens) == (
        legal.benchmark,
        7,
        0.3,
        500,
    )
    assert guard.scoring.structure.weight == 1


def test_a_named_guard_that_cannot_be_asked_is_refused(make):
    document = make.document(eval={"guard_domains": ["coding", "legal"]})

    with pytest.raises(NothingToJudge, match="guarded by legal, which has no benchmark"):
        pipeline.check_guards(document, (other(make, "coding"), other(make, "legal", benchmark=None)))


def test_an_evaluation_is_asked_for_with_everything_that_the_gate_must_know(make, document):
    contest = pipeline.Contest(
        candidate="m:v3",
        candidate_probes=(make.probe("x"),),
        incumbent="m:v1",
        is_against_live=False,
        judged_before=4,
        parity_share=0.75,
    )
    facts = pipeline.Facts(document=document, base=BaseModelRef(name="b"), contest=contest)

    request = pipeline.request_for(StageKind.EVALUATE, facts)

    assert {name: getattr(request, name) for name in vars(contest)} == vars(contest)
    assert request.benchmark == document.benchmark
