from __future__ import annotations

import random
from statistics import fmean

import pytest

from forge_common.contracts.domain import GateRules
from forge_common.contracts.scorecard import Verdict
from forge_evaluator.gate import Pair, decide

RULES = GateRules(min_tasks=100, samples=1)
NANO = GateRules(min_tasks=100, samples=1, max_group_drop=10.0, decide_on=("coding",))


def pairs(scores, group="coding"):
    return [
        Pair(f"{group}-{n}", group, candidate, incumbent) for n, (candidate, incumbent) in enumerate(scores)
    ]


def graded(gained, lost, same, group="coding"):
    return pairs([(100.0, 0.0)] * gained + [(0.0, 100.0)] * lost + [(100.0, 100.0)] * same, group)


def test_a_clear_gain_is_promoted_with_its_bound_in_words():
    decision = decide(graded(70, 2, 30), NANO, infra_share=0.0)

    assert decision.verdict is Verdict.PROMOTE
    assert decision.lower_bound == pytest.approx(58.2206, abs=1e-3)  # scipy: mean 66.667, SE 5.0877, t 1.6601
    assert "+66.7 points" in decision.reasons[0]


def test_no_change_is_kept():
    assert decide(graded(0, 0, 120), RULES, infra_share=0.0).verdict is Verdict.KEEP


def test_a_loss_is_kept():
    assert decide(graded(5, 20, 100), RULES, infra_share=0.0).verdict is Verdict.KEEP


def test_a_small_gain_that_chance_explains_is_inconclusive_and_says_how_many_more_tasks():
    decision = decide(graded(14, 8, 98), RULES, infra_share=0.0)

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons[1].startswith("about 331 more tasks")


def test_a_sure_gain_too_small_to_matter_is_kept():
    decision = decide(pairs([(50.5, 50.0)] * 100), RULES, infra_share=0.0)

    assert decision.verdict is Verdict.KEEP
    assert "less than the 1 points" in decision.reasons[0]


def test_a_guarded_group_that_is_harmed_stops_a_gain_elsewhere():
    forgot = graded(70, 2, 30) + graded(0, 20, 46, "general")

    decision = decide(forgot, NANO, infra_share=0.0)

    assert decision.verdict is Verdict.KEEP
    assert "'general' lost 30.3 points over 66 tasks" in decision.reasons[0]


def test_a_guarded_group_may_lose_less_than_the_limit():
    assert (
        decide(graded(70, 2, 30) + graded(0, 6, 60, "general"), NANO, infra_share=0.0).verdict
        is Verdict.PROMOTE
    )


def test_a_large_loss_without_evidence_is_no_harm():
    noisy = graded(4, 5, 0, "general")  # −11 points over nine tasks: chance explains it

    assert decide(graded(70, 2, 30) + noisy, NANO, infra_share=0.0).verdict is Verdict.PROMOTE


def test_groups_that_only_guard_do_not_decide():
    decision = decide(graded(0, 0, 110) + graded(60, 0, 6, "general"), NANO, infra_share=0.0)

    assert decision.verdict is Verdict.KEEP


def test_too_few_tasks_are_insufficient_whatever_they_show():
    assert decide(graded(99, 0, 0), RULES, infra_share=0.0).verdict is Verdict.INSUFFICIENT_DATA


def test_unscored_tasks_do_not_count_as_tasks_or_as_zero():
    unscored = [Pair(f"u{n}", "coding", None, 100.0) for n in range(50)]

    decision = decide(graded(60, 0, 39) + unscored, RULES, infra_share=0.0)

    assert decision.verdict is Verdict.INSUFFICIENT_DATA
    assert "99 tasks" in decision.reasons[0]


def test_our_own_errors_block_a_promotion():
    assert decide(graded(70, 2, 30), NANO, infra_share=0.03).verdict is Verdict.INCONCLUSIVE
    assert decide(graded(70, 2, 30), NANO, infra_share=0.02).verdict is Verdict.PROMOTE


def test_without_a_live_version_nothing_is_concluded():
    alone = pairs([(100.0, None)] * 120)

    assert decide(alone, RULES, infra_share=0.0, has_incumbent=False).verdict is Verdict.INSUFFICIENT_DATA


def simulated(rng, gain, tasks=200, samples=4):
    """U-shaped difficulty; both versions answer each task `samples` times."""
    made = []
    for number in range(tasks):
        chance = rng.betavariate(0.6, 0.5)
        better = min(1.0, max(0.0, chance + gain))
        scores = [100 * fmean(rng.random() < p for _ in range(samples)) for p in (better, chance)]
        made.append(Pair(str(number), "coding", *scores))
    return made


def promoted(gain, draws):
    rng = random.Random(3)
    verdicts = [decide(simulated(rng, gain), RULES, infra_share=0.0).verdict for _ in range(draws)]
    return fmean(verdict is Verdict.PROMOTE for verdict in verdicts)


def test_an_unchanged_candidate_is_promoted_about_one_time_in_twenty():
    assert 0.02 <= promoted(0.0, 400) <= 0.08


def test_ten_points_more_are_nearly_always_found():
    assert promoted(0.10, 100) >= 0.95
