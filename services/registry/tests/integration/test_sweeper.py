from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from forge_common.contracts.runs import AttemptState, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import Heartbeat, StageKind
from forge_common.contracts.tasks import PREPARE, SWEEP
from forge_common.db.session import session_scope
from forge_common.errors import RemoteProblem
from forge_registry.context import Context
from forge_registry.pulse import beat, has_listened
from forge_registry.sweeper import sweep

pytestmark = pytest.mark.integration


@pytest.fixture
def pass_time(context):
    """Moves everything that has happened into the past."""

    def shift(**delta):
        by = timedelta(**delta)
        with session_scope(context.database) as session:
            for table, columns in (
                ("stages", ("lease_until", "suspected_at")),
                ("attempts", ("rung_at",)),
                ("runs", ("state_at",)),
                ("outbox", ("due_at",)),
                ("pulse", ("since",)),
            ):
                for column in columns:
                    session.execute(
                        text(f"update registry.{table} set {column} = {column} - :by"), {"by": by}
                    )

    return shift


def test_a_silent_worker_loses_its_stage_and_another_one_gets_it(hand, registry, context, pass_time):
    hand.domain()
    run = hand.start()
    lost = hand.claim(run)

    pass_time(seconds=31)
    sweep(context)
    pass_time(seconds=16)
    sweep(context)
    taken = hand.claim(run, worker="w2", claim_id="c2")

    attempts = registry.run(run.id).stages[0].attempts
    assert [(a.state, a.worker) for a in attempts] == [
        (AttemptState.LOST, "w1"),
        (AttemptState.CLAIMED, "w2"),
    ]
    assert taken.token > lost.token
    assert taken.attempt == 2


@pytest.fixture
def lose(context, pass_time):
    """The sweeper gives up on whoever has not been heard of."""

    def give_up():
        pass_time(seconds=31)
        sweep(context)
        pass_time(seconds=16)
        sweep(context)

    return give_up


def test_a_worker_that_was_given_up_on_can_change_nothing_once_another_one_has_its_stage(
    hand, registry, lose
):
    hand.domain()
    run = hand.start()
    lost = hand.claim(run)
    lose()
    hand.claim(run, worker="w2", claim_id="c2")

    for call in (
        lambda: registry.heartbeat(lost.stage_id, Heartbeat(token=lost.token)),
        lambda: hand.deliver(lost, hand.result(run, lost, Verdict.PROMOTE)),
    ):
        with pytest.raises(RemoteProblem) as refusal:
            call()
        assert refusal.value.code == "stale_token"


def test_a_worker_that_was_cut_off_goes_on_where_nobody_has_taken_its_stage_meanwhile(hand, registry, lose):
    hand.domain()
    run = hand.start()
    cut_off = hand.claim(run)

    # Three times ten minutes, and still the first attempt.
    for _ in range(3):
        lose()
        assert registry.run(run.id).stages[0].attempts[0].state is AttemptState.LOST
        assert not registry.heartbeat(cut_off.stage_id, Heartbeat(token=cut_off.token)).cancel
    with pytest.raises(RemoteProblem, match="w1"):
        hand.claim(run, worker="w2", claim_id="c2")
    hand.deliver(cut_off, hand.result(run, cut_off, Verdict.PROMOTE))

    (attempt,) = registry.run(run.id).stages[0].attempts
    assert (attempt.state, attempt.worker, attempt.error) == (AttemptState.DONE, "w1", None)


def test_what_a_worker_that_was_cut_off_has_finished_meanwhile_counts(hand, registry, lose):
    hand.domain()
    run = hand.start()
    cut_off = hand.claim(run)
    lose()

    hand.deliver(cut_off, hand.result(run, cut_off, Verdict.PROMOTE))

    first, *_ = registry.run(run.id).stages
    assert [(each.state, each.worker) for each in first.attempts] == [(AttemptState.DONE, "w1")]
    assert registry.run(run.id).state is not RunState.FAILED


def test_a_worker_that_was_given_up_on_twice_comes_back_too_late(hand, registry, lose):
    hand.domain()
    run = hand.start()
    first = hand.claim(run)
    lose()
    second = hand.claim(run, worker="w2", claim_id="c2")
    lose()

    with pytest.raises(RemoteProblem) as refusal:
        registry.heartbeat(first.stage_id, Heartbeat(token=first.token))
    registry.heartbeat(second.stage_id, Heartbeat(token=second.token))

    assert refusal.value.code == "stale_token"
    assert [each.worker for each in registry.run(run.id).stages[0].attempts] == ["w1", "w2"]


def test_no_worker_loses_its_stage_before_the_registry_has_listened_for_a_whole_lease(
    hand, registry, context, pass_time
):
    hand.domain()
    run = hand.start()
    hand.claim(run)

    pass_time(hours=1)
    restart(context)
    for _ in range(2):
        sweep(context)
        with session_scope(context.database) as session:
            session.execute(
                text("update registry.stages set suspected_at = suspected_at - interval '1 hour'")
            )

    assert registry.run(run.id).stages[0].attempts[0].state is AttemptState.CLAIMED


def test_no_worker_loses_its_stage_while_the_registry_is_not_listening(hand, registry, context, pass_time):
    hand.domain()
    run = hand.start()
    hand.claim(run)

    pass_time(hours=1)
    with session_scope(context.database) as session:
        session.execute(text("update registry.pulse set seen = seen - interval '1 minute'"))

    with session_scope(context.database) as session:
        assert not has_listened(session, context.settings.lease_s)


def restart(context):
    with session_scope(context.database) as session:
        beat(session, context.settings.lease_s, anew=True)


def test_a_worker_that_speaks_again_after_an_outage_keeps_its_stage(hand, registry, context, pass_time):
    hand.domain()
    run = hand.start()
    claim = hand.claim(run)

    pass_time(hours=1)
    sweep(context)
    registry.heartbeat(claim.stage_id, Heartbeat(token=claim.token))
    pass_time(seconds=16)
    sweep(context)

    assert registry.run(run.id).stages[0].attempts[0].state is AttemptState.CLAIMED


def test_a_heartbeat_keeps_the_lease(hand, registry, context, pass_time):
    hand.domain()
    run = hand.start()
    claim = hand.claim(run)

    for _ in range(3):
        pass_time(seconds=20)
        sweep(context)
        registry.heartbeat(claim.stage_id, Heartbeat(token=claim.token))

    assert registry.run(run.id).stages[0].attempts[0].state is AttemptState.CLAIMED


def test_three_lost_attempts_fail_the_run_with_the_reason(hand, registry, context, pass_time):
    hand.domain()
    run = hand.start()

    for number in range(3):
        hand.claim(run, claim_id=f"c{number}")
        pass_time(seconds=31)
        sweep(context)
        pass_time(seconds=16)
        sweep(context)

    failed = registry.run(run.id)
    assert failed.state is RunState.FAILED
    assert "went silent during prepare" in failed.error
    assert [a.state for a in failed.stages[0].attempts] == [AttemptState.LOST] * 3


def test_a_bell_that_nobody_followed_rings_again_with_growing_pauses(
    hand, context, pass_time, queued, eventually
):
    hand.domain()
    hand.start()
    eventually(lambda: len(queued(PREPARE.queue)) == 1)

    pass_time(seconds=16)
    sweep(context)
    eventually(lambda: len(queued(PREPARE.queue)) == 2)
    pass_time(seconds=16)
    sweep(context)
    assert len(queued(PREPARE.queue)) == 2
    pass_time(seconds=16)
    sweep(context)
    eventually(lambda: len(queued(PREPARE.queue)) == 3)


def test_a_claimed_stage_is_not_rung_again(hand, context, pass_time, queued, eventually):
    hand.domain()
    hand.claim(hand.start())
    eventually(lambda: len(queued(PREPARE.queue)) == 1)

    pass_time(seconds=16)
    sweep(context)

    assert len(queued(PREPARE.queue)) == 1


def deciding(hand):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.EVALUATE)
    hand.step(run, Verdict.PROMOTE)
    return run


def test_a_run_waits_in_deciding_and_rings_the_sweeper(hand, registry, queued, eventually):
    run = deciding(hand)

    assert registry.run(run.id).state is RunState.DECIDING
    eventually(lambda: len(queued(SWEEP.queue)) == 1)


def test_sweeping_twice_promotes_once(hand, registry, context):
    run = deciding(hand)

    sweep(context)
    sweep(context)

    assert registry.run(run.id).state is RunState.PROMOTED
    assert [p.version for p in registry.promotions("tiny")] == [1, 0]


def test_the_preflight_asks_the_version_in_the_engine_before_the_pointer_moves(hand, engine, context):
    deciding(hand)
    engine.calls.clear()

    sweep(context)

    asked = [body["model"] for path, body in engine.calls if path == "/api/chat"]
    assert asked == ["engie-tiny:v1"]


def test_a_promotion_waits_for_an_engine_that_falters(hand, registry, context, engine):
    run = deciding(hand)

    engine.broken = True
    sweep(context)
    assert registry.run(run.id).state is RunState.DECIDING
    engine.broken = False
    sweep(context)

    assert registry.run(run.id).state is RunState.PROMOTED


def test_a_promotion_does_not_wait_for_ever(hand, registry, context, engine, pass_time):
    run = deciding(hand)
    engine.broken = True

    pass_time(minutes=6)
    sweep(context)

    failed = registry.run(run.id)
    assert failed.state is RunState.FAILED
    assert "not promoted" in failed.error


def test_an_engine_that_hangs_blocks_neither_the_promotion_for_ever_nor_a_second_sweep(
    hand, registry, context, engine
):
    run = deciding(hand)
    impatient = Context(context.settings.model_copy(update={"preflight_timeout_s": 6.0}))
    engine.calls.clear()
    engine.hold.clear()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(sweep, impatient)
        while not engine.calls:
            time.sleep(0.01)
        sweep(context)
        assert not first.done()
        first.result(60)
    engine.hold.set()

    assert registry.run(run.id).state is RunState.DECIDING
    sweep(context)
    assert registry.run(run.id).state is RunState.PROMOTED


def test_a_version_that_answers_something_else_is_not_promoted(hand, registry, context, engine):
    run = deciding(hand)
    engine.lies["engie-tiny:v1"] = "something else"

    sweep(context)

    failed = registry.run(run.id)
    assert failed.state is RunState.FAILED
    assert "not what the trained weights answer" in failed.error
    assert [v.number for v in registry.versions("tiny") if v.is_live] == [0]


def test_a_version_that_is_gone_from_the_engine_is_not_promoted(hand, registry, context, engine):
    run = deciding(hand)
    del engine.models["engie-tiny:v1"]

    sweep(context)
    failed = registry.run(run.id)
    again = hand.finish(registry.retry_run(run.id))

    assert (failed.state, failed.fix) == (RunState.FAILED, f"`forge runs retry {run.id}` deploys it again")
    assert (again.state, again.version) == (RunState.PROMOTED, 1)
