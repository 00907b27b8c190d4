from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from forge_common.contracts.runs import AttemptState
from forge_common.contracts.stages import ClaimRequest, Heartbeat, Progress, StageDelivery, StageKind
from forge_common.errors import RemoteProblem

pytestmark = pytest.mark.integration


def refused(call, *arguments, **named) -> tuple[int, str]:
    with pytest.raises(RemoteProblem) as refusal:
        call(*arguments, **named)
    return refusal.value.status, refusal.value.code


def test_of_many_claims_at_once_one_wins(hand, registry):
    hand.domain()
    stage = hand.open_stage(hand.start()).id

    def attempt(number):
        try:
            return registry.claim(stage, ClaimRequest(worker=f"w{number}", claim_id=f"c{number}")).token
        except RemoteProblem as refusal:
            return refusal.code

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(attempt, range(16)))

    assert answers.count("stage_taken") == 15
    assert answers.count(1) == 1


def test_a_repeated_claim_gets_the_same_answer(hand):
    hand.domain()
    run = hand.start()

    assert hand.claim(run) == hand.claim(run)


def test_a_taken_stage_names_its_worker(hand):
    hand.domain()
    run = hand.start()
    hand.claim(run, worker="mac-1")

    with pytest.raises(RemoteProblem, match="mac-1"):
        hand.claim(run, worker="mac-2", claim_id="c2")


def test_a_finished_stage_cannot_be_claimed(hand, registry):
    hand.domain()
    claim = hand.step(hand.start())

    again = ClaimRequest(worker="w", claim_id="late")

    assert refused(registry.claim, claim.stage_id, again) == (409, "stage_finished")


def test_a_stage_of_a_cancelled_run_cannot_be_claimed(hand, registry):
    hand.domain()
    run = hand.start()
    registry.cancel_run(run.id)

    assert refused(hand.claim, run) == (409, "stage_finished")


def test_an_unknown_stage_is_not_found(hand, registry):
    assert refused(registry.claim, "stage_0", ClaimRequest(worker="w", claim_id="c")) == (
        404,
        "stage_unknown",
    )


def test_a_token_that_was_never_given_out_is_stale(hand, registry):
    hand.domain()
    run = hand.start()
    claim = hand.claim(run)

    assert refused(registry.heartbeat, claim.stage_id, Heartbeat(token=claim.token + 1)) == (
        409,
        "stale_token",
    )


def test_a_heartbeat_keeps_progress_in_the_history(hand, registry):
    hand.domain()
    run = hand.start()
    claim = hand.claim(run)
    progress = Progress(message="epoch 1", step=5, of=20, eta_s=12.5, metrics={"loss": 1.25})

    reply = registry.heartbeat(claim.stage_id, Heartbeat(token=claim.token, progress=progress))
    registry.cancel_run(run.id)

    shown = next(event for event in registry.events(run.id) if event.event == "stage.progress")
    assert (reply.cancel, reply.lease_s) == (False, 30.0)
    assert (shown.message, shown.step, shown.of, shown.eta_s) == ("epoch 1", 5, 20, 12.5)
    assert (shown.metrics, shown.stage) == ({"loss": 1.25}, StageKind.PREPARE)


def test_a_result_delivered_many_times_counts_once(hand, registry):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.EXPORT)
    claim = hand.claim(run)
    result = hand.result(run, claim, None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: hand.deliver(claim, result), range(8)))

    assert [version.number for version in registry.versions("tiny")] == [1, 0]
    assert [stage.kind for stage in registry.run(run.id).stages].count(StageKind.DEPLOY) == 1


def test_a_result_of_another_kind_is_refused_and_changes_nothing(hand, registry, make):
    hand.domain()
    run = hand.start()
    claim = hand.claim(run)
    wrong = StageDelivery(token=claim.token, result=make.trained(hand.upload("weights")))

    assert refused(registry.deliver, claim.stage_id, wrong) == (422, "wrong_result")
    assert registry.run(run.id).stages[0].attempts[0].state is AttemptState.CLAIMED


def test_a_result_that_names_content_nobody_uploaded_is_refused(hand, registry, make):
    hand.domain()
    claim = hand.claim(hand.start())
    result = make.prepared(make.ref(b"never sent", "dataset"))

    assert refused(hand.deliver, claim, result) == (409, "artifact_not_uploaded")


def test_an_empty_delivery_is_refused(hand, registry):
    hand.domain()
    claim = hand.claim(hand.start())

    empty = StageDelivery(token=claim.token)

    assert refused(registry.deliver, claim.stage_id, empty) == (422, "wrong_result")


def test_a_deployment_that_forgets_a_version_is_refused(hand, registry, make):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.DEPLOY)
    claim = hand.claim(run)

    assert refused(hand.deliver, claim, make.deployed(**{"engie-tiny:v0": "d"})) == (422, "wrong_result")
    assert [version.is_deployed for version in registry.versions("tiny")] == [False, False]
