"""Who is judged against whom, on what, and at which level: what the registry tells the evaluator."""

from __future__ import annotations

import pytest

from forge_common.contracts.runs import RunKind, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import StageKind
from forge_common.errors import RemoteProblem

pytestmark = pytest.mark.integration


def asked(hand, **changes):
    """What an evaluation run asks of the evaluator."""
    run = hand.start(kind=RunKind.EVAL, **changes)
    hand.until(run, StageKind.EVALUATE)
    request = hand.claim(run).request
    hand.registry.cancel_run(run.id)
    return request


def judged(hand, verdict=Verdict.KEEP):
    """Trains another candidate; what the evaluator was asked about it."""
    run = hand.start()
    hand.until(run, StageKind.EVALUATE)
    request = hand.step(run, verdict).request
    hand.finish(run)
    return request


@pytest.fixture
def versions(hand):
    """v1 was kept, v2 promoted, v3 kept: v2 is live."""
    hand.domain()
    for verdict in (Verdict.KEEP, Verdict.PROMOTE, Verdict.KEEP):
        hand.train(verdict=verdict)


def test_two_versions_are_compared_of_which_neither_is_live(versions, hand):
    request = asked(hand, version=3, opponent=1)

    assert (request.candidate, request.incumbent, request.is_against_live) == (
        "engie-tiny:v3",
        "engie-tiny:v1",
        False,
    )


def test_without_an_opponent_the_live_version_is_it(versions, hand):
    request = asked(hand, version=3)

    assert (request.incumbent, request.is_against_live) == ("engie-tiny:v2", True)


def test_an_opponent_that_the_engine_lost_is_deployed_again(versions, hand):
    run = hand.start(kind=RunKind.EVAL, version=3, opponent=1)

    deployed = [version.model for version in hand.claim(run).request.versions]

    assert deployed == ["engie-tiny:v0", "engie-tiny:v1", "engie-tiny:v2", "engie-tiny:v3"]


def test_a_comparison_shows_both_versions_and_promotes_nothing(versions, hand, registry):
    run = hand.finish(hand.start(kind=RunKind.EVAL, version=3, opponent=1))

    assert (run.version, run.opponent, run.state) == (3, 1, RunState.KEPT)
    assert [version.number for version in registry.versions("tiny") if version.is_live] == [2]


def test_a_retried_comparison_keeps_its_opponent(versions, hand, registry):
    run = hand.start(kind=RunKind.EVAL, version=3, opponent=1)
    hand.fail(hand.claim(run), retryable=False)

    assert registry.retry_run(run.id).opponent == 1


def test_a_version_is_not_judged_against_itself(versions, hand):
    with pytest.raises(RemoteProblem, match="against itself"):
        hand.start(kind=RunKind.EVAL, version=3, opponent=3)


def test_an_opponent_that_there_is_not_is_refused(versions, hand):
    with pytest.raises(RemoteProblem) as refusal:
        hand.start(kind=RunKind.EVAL, version=3, opponent=9)

    assert refusal.value.code == "version_unknown"


def test_an_evaluation_may_bring_its_own_benchmark(versions, hand):
    own = hand.upload("other tasks", "benchmark")

    assert asked(hand, benchmark=own.sha256).benchmark == own.sha256


def test_a_benchmark_that_is_not_stored_is_refused(versions, hand):
    with pytest.raises(RemoteProblem) as refusal:
        hand.start(kind=RunKind.EVAL, benchmark="e" * 64)

    assert refusal.value.code == "artifact_missing"


def test_every_candidate_of_one_benchmark_version_is_counted_for_the_next(hand):
    hand.domain()

    assert [judged(hand).judged_before for _ in range(3)] == [0, 1, 2]


def test_what_could_not_be_concluded_spends_nothing(hand):
    hand.domain()
    judged(hand, Verdict.INSUFFICIENT_DATA)

    assert judged(hand).judged_before == 0


def test_evaluations_that_only_judge_spend_nothing(hand, registry):
    hand.domain()
    judged(hand)
    hand.finish(hand.start(kind=RunKind.EVAL, version=1))

    assert judged(hand).judged_before == 1


def test_another_benchmark_version_starts_anew(hand, make):
    hand.domain()
    judged(hand)
    hand.domain(benchmark=hand.upload("harder tasks", "benchmark").sha256)

    assert judged(hand).judged_before == 0


def test_the_evaluator_is_told_what_each_model_must_answer_first(hand, make):
    hand.domain()

    request = judged(hand)

    assert [probe.text for probe in request.candidate_probes] == ["tuned answer"]
    assert [probe.text for probe in request.incumbent_probes] == ["base answer"]


def test_candidates_are_guarded_by_the_other_domains_of_their_base(hand, make):
    hand.domain("legal", benchmark=hand.upload("legal tasks", "benchmark").sha256)
    hand.domain()

    assert [guard.domain for guard in judged(hand).guards] == ["legal"]


def test_a_run_whose_named_guard_has_no_benchmark_is_refused(hand):
    hand.domain(eval={"guard_domains": ["legal"]})

    with pytest.raises(RemoteProblem, match="guarded by legal"):
        hand.start()
