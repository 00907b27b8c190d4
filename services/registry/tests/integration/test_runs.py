from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from forge_common.contracts.runs import AttemptState, Hardware, RollbackRequest, RunKind, RunRequest, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import Heartbeat, StageKind
from forge_common.contracts.tasks import PREPARE
from forge_common.errors import RemoteProblem

pytestmark = pytest.mark.integration


def test_a_training_run_goes_through_every_stage_and_ends_promoted(hand, registry):
    hand.domain()

    run = hand.train()

    assert run.state is RunState.PROMOTED
    assert [stage.kind for stage in run.stages] == list(StageKind)
    assert (run.version, run.verdict, run.scorecard.verdict) == (1, Verdict.PROMOTE, Verdict.PROMOTE)
    assert [(v.number, v.is_live, v.is_deployed, v.score) for v in registry.versions("tiny")] == [
        (1, True, True, 84.0),
        (0, False, True, None),
    ]
    assert [(p.version, p.previous, p.kind) for p in registry.promotions("tiny")] == [
        (1, 0, "gate"),
        (0, None, "manual"),
    ]


def test_v0_is_live_as_soon_as_it_is_deployed(hand, registry):
    hand.domain()
    run = hand.start()

    hand.until(run, StageKind.EVALUATE)

    promotion = registry.promotions("tiny")[0]
    assert (promotion.version, promotion.reason) == (0, "first use")
    claim = hand.claim(run)
    assert (claim.request.candidate, claim.request.incumbent) == ("engie-tiny:v1", "engie-tiny:v0")


def test_a_versions_provenance_is_the_document_and_the_base_that_its_run_began_with(hand, registry):
    hand.domain()
    run = hand.train()
    hand.domain(system_prompt="Be verbose.", base_model="forge/other")

    found = registry.provenance("tiny", 1)

    assert (found.version.number, found.version.run_id) == (1, run.id)
    assert (found.document.system_prompt, found.base.name) == ("Be brief.", "forge/tiny")
    assert found.adapter_gguf is not None
    assert registry.provenance("tiny", 0).version.adapter is None
    with pytest.raises(RemoteProblem, match="v9"):
        registry.provenance("tiny", 9)


def test_a_base_that_was_written_as_another_quantisation_is_asked_for_again(hand):
    hand.domain(deploy={"quant": "q4_k_m", "without_quantiser": "q8_0"})
    run = hand.start()
    hand.until(run, StageKind.EXPORT)
    claim = hand.claim(run)
    result = hand.result(run, claim, Verdict.PROMOTE)
    hand.deliver(claim, result.model_copy(update={"quant": "q8_0"}))
    hand.finish(run)

    def next_base():
        following = hand.start()
        hand.until(following, StageKind.EXPORT)
        given = hand.claim(following).request.base_gguf
        hand.finish(following)
        return given

    assert next_base() is None
    hand.domain(deploy={"quant": "q8_0"})
    assert next_base() == result.base_gguf


@pytest.mark.parametrize("verdict", [Verdict.KEEP, Verdict.INCONCLUSIVE, Verdict.INSUFFICIENT_DATA])
def test_any_other_verdict_than_promote_keeps_the_live_version(hand, registry, verdict):
    hand.domain()

    run = hand.train(verdict=verdict)

    assert (run.state, run.verdict) == (RunState.KEPT, verdict)
    assert [v.number for v in registry.versions("tiny") if v.is_live] == [0]


def test_a_domain_without_benchmark_trains_and_is_kept_for_want_of_data(hand, registry):
    hand.domain(benchmark=None)

    run = hand.train()

    assert (run.state, run.verdict) == (RunState.KEPT, Verdict.INSUFFICIENT_DATA)
    assert [stage.kind for stage in run.stages] == list(StageKind)[:-1]
    assert registry.versions("tiny")[0].is_deployed


def test_a_base_run_makes_v0_live_and_a_second_one_changes_nothing(hand, registry):
    hand.domain()

    first = hand.finish(hand.start(kind=RunKind.BASE))
    second = hand.finish(hand.start(kind=RunKind.BASE))

    assert (first.state, second.state) == (RunState.PROMOTED, RunState.KEPT)
    assert len(registry.promotions("tiny")) == 1


def test_the_base_is_exported_once_and_every_deployment_names_what_must_be_there(hand):
    hand.domain()
    hand.train()
    hand.train()
    run = hand.start()

    hand.until(run, StageKind.EXPORT)
    export = hand.step(run)
    deploy = hand.claim(run)

    assert export.request.base_gguf.sha256 == hand.upload("the base").sha256
    assert [(version.model, version.digest is not None) for version in deploy.request.versions] == [
        ("engie-tiny:v0", True),
        ("engie-tiny:v2", True),
        ("engie-tiny:v3", False),
    ]


def test_a_pointer_that_moves_during_a_deployment_does_no_harm_to_it(hand, registry):
    hand.domain()
    hand.train()
    run = hand.start()
    hand.until(run, StageKind.DEPLOY)
    claim = hand.claim(run)

    registry.rollback("tiny", RollbackRequest())
    hand.deliver(claim, hand.result(run, claim, Verdict.PROMOTE))

    assert hand.finish(run).state is RunState.PROMOTED


def test_after_a_deployment_the_engines_alias_names_what_is_live(hand, engine, eventually):
    hand.domain()
    hand.train()
    eventually(lambda: "engie-tiny:latest" in engine.models)
    engine.forget_everything()

    hand.until(hand.start(), StageKind.EVALUATE)

    eventually(lambda: engine.models.get("engie-tiny:latest") == engine.models["engie-tiny:v1"])


def test_a_run_given_a_dataset_begins_with_training(hand):
    hand.domain()
    dataset = hand.upload("rows", "dataset")

    run = hand.start(dataset=dataset.sha256)

    claim = hand.claim(run)
    assert claim.request.kind == StageKind.TRAIN
    assert claim.request.dataset == dataset.sha256
    assert hand.registry.run(run.id).state is RunState.TRAINING


def test_a_dataset_that_is_not_stored_is_refused(hand):
    hand.domain()

    with pytest.raises(RemoteProblem) as refusal:
        hand.start(dataset="0" * 64)

    assert refusal.value.code == "artifact_missing"


def test_an_evaluation_judges_a_version_against_the_live_one_and_promotes_nothing(hand, registry):
    hand.domain()
    hand.train()
    hand.train(verdict=Verdict.KEEP)
    run = hand.start(kind=RunKind.EVAL, version=2)

    deploy = hand.step(run).request
    request = hand.claim(run).request
    ended = hand.finish(run, Verdict.PROMOTE)

    assert [version.model for version in deploy.versions] == [
        "engie-tiny:v0",
        "engie-tiny:v1",
        "engie-tiny:v2",
    ]
    assert (request.candidate, request.incumbent) == ("engie-tiny:v2", "engie-tiny:v1")
    assert (ended.state, ended.verdict) == (RunState.KEPT, Verdict.PROMOTE)
    assert [v.number for v in registry.versions("tiny") if v.is_live] == [1]


def test_a_verdict_against_a_version_that_is_not_live_any_more_promotes_nothing(hand, registry):
    hand.domain()
    hand.train()
    run = hand.start()
    hand.until(run, StageKind.EVALUATE)
    claim = hand.claim(run)
    registry.rollback("tiny", RollbackRequest())
    hand.deliver(claim, hand.result(run, claim, Verdict.PROMOTE))

    ended = registry.run(run.id)
    assert ended.state is RunState.KEPT
    assert [v.number for v in registry.versions("tiny") if v.is_live] == [0]


def test_a_second_run_of_a_domain_is_refused_and_names_the_first(hand):
    hand.domain()
    first = hand.start()

    with pytest.raises(RemoteProblem, match=first.id) as refusal:
        hand.start()

    assert (refusal.value.code, refusal.value.status) == ("run_already_active", 409)


def test_many_starts_at_once_make_one_run(hand):
    hand.domain()

    def attempt(_):
        try:
            return hand.start().id
        except RemoteProblem as refusal:
            return refusal.code

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(attempt, range(12)))

    assert answers.count("run_already_active") == 11


def test_many_starts_with_one_idempotency_key_are_one_run(hand):
    hand.domain()

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: hand.start(idempotency_key="click").id, range(8)))

    assert len(set(runs)) == 1


def test_auto_hardware_takes_what_is_alive(hand):
    hand.domain()

    assert hand.start().hardware is Hardware.CPU


def test_auto_hardware_is_refused_when_no_trainer_is_alive(registry, make):
    registry.put_domain(make.document())

    with pytest.raises(RemoteProblem) as refusal:
        registry.start_run(RunRequest(domain="tiny"))

    assert (refusal.value.code, refusal.value.status) == ("no_trainer_alive", 409)
    assert "forge up" in refusal.value.fix


def test_a_running_run_keeps_the_document_that_it_began_with(hand):
    hand.domain()
    run = hand.start()

    hand.domain(system_prompt="Be verbose.")

    assert hand.claim(run).request.domain.system_prompt == "Be brief."


def test_cancel_ends_the_run_and_frees_the_domain(hand, registry):
    hand.domain()
    run = hand.start()
    claim = hand.claim(run)

    cancelled = registry.cancel_run(run.id)

    assert cancelled.state is RunState.CANCELLED
    assert cancelled.stages[0].attempts[0].state is AttemptState.FAILED
    assert registry.heartbeat(claim.stage_id, Heartbeat(token=claim.token)).cancel
    hand.deliver(claim, hand.result(run, claim, Verdict.PROMOTE))
    assert registry.run(run.id).state is RunState.CANCELLED
    assert hand.start().state is RunState.QUEUED


def test_cancelling_a_finished_run_is_refused(hand, registry):
    hand.domain()
    run = hand.train()

    with pytest.raises(RemoteProblem) as refusal:
        registry.cancel_run(run.id)

    assert refusal.value.code == "run_finished"


def test_a_failure_that_cannot_be_retried_fails_the_run_with_its_fix(hand, registry):
    hand.domain()
    run = hand.start()

    hand.fail(hand.claim(run), retryable=False)

    failed = registry.run(run.id)
    assert (failed.state, failed.error, failed.fix) == (RunState.FAILED, "it broke", "mend it")


def test_a_retryable_failure_gets_three_attempts(hand, registry):
    hand.domain()
    run = hand.start()

    for number in range(3):
        assert registry.run(run.id).state is not RunState.FAILED
        hand.fail(hand.claim(run, claim_id=f"c{number}"), retryable=True)

    failed = registry.run(run.id)
    assert failed.state is RunState.FAILED
    assert [a.state for a in failed.stages[0].attempts] == [AttemptState.FAILED] * 3


def test_a_stage_that_failed_is_rung_again_after_a_pause(hand, queued, eventually):
    hand.domain()
    run = hand.start()
    eventually(lambda: len(queued(PREPARE.queue)) == 1)
    failed_at = time.monotonic()

    hand.fail(hand.claim(run), retryable=True)
    eventually(lambda: len(queued(PREPARE.queue)) == 2)

    assert 4.5 < time.monotonic() - failed_at < 15


def test_retry_of_a_failed_run_goes_on_with_what_was_trained(hand, registry):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.EXPORT)
    hand.fail(hand.claim(run), retryable=False)

    again = registry.retry_run(run.id)

    assert registry.retry_run(run.id).id == again.id
    assert [stage.kind for stage in again.stages] == [StageKind.EXPORT]
    assert hand.finish(again).state is RunState.PROMOTED


@pytest.mark.parametrize("failing", [StageKind.DEPLOY, StageKind.EVALUATE])
def test_retry_of_a_run_that_has_its_version_goes_on_with_that_version(hand, registry, failing):
    hand.domain()
    run = hand.start()
    hand.until(run, failing)
    hand.fail(hand.claim(run), retryable=False)

    again = registry.retry_run(run.id)
    hand.until(again, StageKind.DEPLOY)

    assert registry.run(again.id).stages[0].kind is StageKind.DEPLOY
    ended = hand.finish(again)
    assert (ended.state, ended.version) == (RunState.PROMOTED, 1)
    assert [version.number for version in registry.versions("tiny")] == [1, 0]


def test_retry_of_a_base_run_does_not_export_the_base_again(hand, registry):
    hand.domain()
    run = hand.start(kind=RunKind.BASE)
    hand.until(run, StageKind.DEPLOY)
    hand.fail(hand.claim(run), retryable=False)

    again = registry.retry_run(run.id)

    assert [stage.kind for stage in again.stages] == [StageKind.DEPLOY]
    assert hand.finish(again).state is RunState.PROMOTED


def test_retrying_again_after_the_retry_failed_starts_anew(hand, registry):
    hand.domain()
    run = hand.start()
    hand.fail(hand.claim(run), retryable=False)
    second = registry.retry_run(run.id)
    hand.until(second, StageKind.TRAIN)
    hand.fail(hand.claim(second), retryable=False)

    third = registry.retry_run(run.id)

    assert third.id not in (run.id, second.id)
    assert [stage.kind for stage in third.stages] == [StageKind.TRAIN]
    assert registry.retry_run(run.id).id == registry.retry_run(second.id).id == third.id


def test_retrying_a_run_whose_retry_succeeded_says_so(hand, registry):
    hand.domain()
    run = hand.start()
    hand.fail(hand.claim(run), retryable=False)
    second = hand.finish(registry.retry_run(run.id))

    with pytest.raises(RemoteProblem, match=second.id) as refusal:
        registry.retry_run(run.id)

    assert refusal.value.code == "run_finished"


def test_retry_of_a_run_that_did_not_fail_is_refused(hand, registry):
    hand.domain()
    run = hand.train()

    with pytest.raises(RemoteProblem) as refusal:
        registry.retry_run(run.id)

    assert refusal.value.code == "run_finished"


def test_runs_are_listed_newest_first_by_domain(hand, registry):
    hand.domain()
    hand.domain("other")
    first, second = hand.train(), hand.train()
    other = hand.start("other")

    assert [run.id for run in registry.runs("tiny")] == [second.id, first.id]
    assert registry.runs()[0].id == other.id


def test_training_goes_on_from_the_live_version_where_the_domain_says_so(hand):
    hand.domain(training={"start_from": "live", "replay": 0.2})
    first = hand.start()
    hand.until(first, StageKind.TRAIN)
    from_base = hand.claim(first).request
    hand.finish(first)
    second = hand.start()
    hand.until(second, StageKind.TRAIN)

    from_live = hand.claim(second).request

    live = next(version for version in hand.registry.versions("tiny") if version.is_live)
    assert (from_base.parent, from_base.replay) == (None, None)
    assert (from_live.parent, from_live.replay) == (live.adapter.sha256, live.dataset)


def test_training_starts_from_the_base_unless_told(hand):
    hand.domain()
    hand.train()
    run = hand.start()
    hand.until(run, StageKind.TRAIN)

    assert hand.claim(run).request.parent is None
