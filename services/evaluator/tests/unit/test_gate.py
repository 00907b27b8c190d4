from __future__ import annotations

import pytest

from forge_common.contracts.domain import GateRules
from forge_common.contracts.scorecard import Verdict
from forge_evaluator import gate
from forge_evaluator.gate import Facts, Guard, Pair

RULES = GateRules(min_tasks=100, samples=1)
NANO = GateRules(min_tasks=100, samples=1, max_group_drop=10.0, decide_on=("coding",))


def decide(pairs, rules, **facts):
    return gate.decide(pairs, rules, Facts(**facts))


def pairs(scores, group="coding"):
    return [
        Pair(f"{group}-{n}", group, candidate, incumbent) for n, (candidate, incumbent) in enumerate(scores)
    ]


def graded(gained, lost, same, group="coding"):
    return pairs([(100.0, 0.0)] * gained + [(0.0, 100.0)] * lost + [(100.0, 100.0)] * same, group)


def test_a_clear_gain_is_promoted_with_its_bound_in_words():
    decision = decide(graded(70, 2, 30), NANO)

    assert decision.verdict is Verdict.PROMOTE
    assert decision.lower_bound == pytest.approx(58.2206, abs=1e-3)  # scipy: mean 66.667, SE 5.0877, t 1.6601
    assert "+66.7 points" in decision.reasons[0]


def test_no_change_is_kept():
    assert decide(graded(0, 0, 120), RULES).verdict is Verdict.KEEP


def test_a_loss_is_kept():
    assert decide(graded(5, 20, 100), RULES).verdict is Verdict.KEEP


def test_a_small_gain_that_chance_explains_is_inconclusive_and_says_how_many_more_tasks():
    decision = decide(graded(14, 8, 98), RULES)

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons[1].startswith("about 331 more tasks")
    assert decision.more_tasks == 331


def test_a_sure_gain_too_small_to_matter_is_kept():
    decision = decide(pairs([(50.5, 50.0)] * 100), RULES)

    assert decision.verdict is Verdict.KEEP
    assert "less than the 1 points that are worth" in decision.reasons[0]


def test_a_guarded_group_that_is_harmed_stops_a_gain_elsewhere():
    forgot = graded(70, 2, 30) + graded(0, 20, 46, "general")

    decision = decide(forgot, NANO)

    assert decision.verdict is Verdict.KEEP
    assert "'general' lost 30.3 points over 66 tasks" in decision.reasons[0]


def test_a_guarded_group_may_lose_less_than_the_limit():
    assert decide(graded(70, 2, 30) + graded(0, 6, 60, "general"), NANO).verdict is Verdict.PROMOTE


def test_a_large_loss_without_evidence_is_no_harm():
    noisy = graded(4, 5, 0, "general")  # −11 points over nine tasks: chance explains it

    assert decide(graded(70, 2, 30) + noisy, NANO).verdict is Verdict.PROMOTE


def test_groups_that_only_guard_do_not_decide():
    decision = decide(graded(0, 0, 110) + graded(60, 0, 6, "general"), NANO)

    assert decision.verdict is Verdict.KEEP


def test_too_few_tasks_are_insufficient_whatever_they_show():
    assert decide(graded(99, 0, 0), RULES).verdict is Verdict.INSUFFICIENT_DATA


def test_unscored_tasks_do_not_count_as_tasks_or_as_zero():
    unscored = [Pair(f"u{n}", "coding", None, 100.0) for n in range(50)]

    decision = decide(graded(60, 0, 39) + unscored, RULES)

    assert decision.verdict is Verdict.INSUFFICIENT_DATA
    assert "99 tasks" in decision.reasons[0]


def test_our_own_errors_block_a_promotion():
    assert decide(graded(70, 2, 30), NANO, infra_share=0.03).verdict is Verdict.INCONCLUSIVE
    assert decide(graded(70, 2, 30), NANO, infra_share=0.02).verdict is Verdict.INCONCLUSIVE
    assert decide(graded(70, 2, 30), NANO, infra_share=0.019).verdict is Verdict.PROMOTE


def test_without_a_live_version_nothing_is_concluded():
    alone = pairs([(100.0, None)] * 120)

    assert decide(alone, RULES, has_incumbent=False).verdict is Verdict.INSUFFICIENT_DATA


def test_alpha_is_spent_over_the_candidates_of_a_benchmark():
    first, second, third, tenth = (decide(graded(70, 2, 30), NANO, judged_before=n) for n in (0, 1, 2, 9))

    assert [one.alpha for one in (first, second, third, tenth)] == pytest.approx([0.05, 0.025, 0.01, 0.01])
    assert first.lower_bound > second.lower_bound > third.lower_bound == tenth.lower_bound


def test_a_gain_that_was_enough_for_the_first_candidate_is_not_for_the_third():
    narrow = graded(17, 7, 90)

    assert decide(narrow, RULES).verdict is Verdict.PROMOTE
    third = decide(narrow, RULES, judged_before=2)
    assert third.verdict is Verdict.INCONCLUSIVE
    assert third.reasons[-1] == (
        "2 candidates had been judged on this benchmark before, so 99 % confidence is asked for"
    )


def canary(candidate, incumbent):
    return Pair("c", "coding", 100.0 * candidate, 100.0 * incumbent, "", candidate, incumbent, is_canary=True)


def test_a_canary_that_newly_fails_stops_any_gain():
    decision = decide([*graded(70, 0, 40), canary(0.25, 1.0)], RULES)

    assert decision.verdict is Verdict.KEEP
    assert decision.reasons[0] == "the canary 'c' newly fails"


@pytest.mark.parametrize(("candidate", "incumbent"), [(1.0, 1.0), (0.0, 0.25), (0.5, 1.0), (None, None)])
def test_a_canary_that_holds_or_never_did_stops_nothing(candidate, incumbent):
    one = Pair("c", "coding", 50.0, 50.0, "", candidate, incumbent, is_canary=True)

    assert decide([*graded(70, 0, 40), one], RULES).verdict is Verdict.PROMOTE


def test_a_task_that_is_no_canary_may_fail():
    lost = Pair("t", "coding", 0.0, 100.0, "", 0.0, 1.0)

    assert decide([*graded(70, 0, 40), lost], RULES).verdict is Verdict.PROMOTE


def in_categories(**scores):
    return [
        Pair(f"{name}-{n}", "coding", candidate, incumbent, name)
        for name, found in scores.items()
        for n, (candidate, incumbent) in enumerate(found)
    ]


def test_a_category_that_is_harmed_stops_a_gain_of_its_group():
    good, bad = [(100.0, 0.0)] * 60 + [(50.0, 50.0)] * 20, [(0.0, 100.0)] * 15 + [(50.0, 50.0)] * 15

    decision = decide(in_categories(sql=bad, python=good), RULES)

    assert decision.verdict is Verdict.KEEP
    assert decision.harmed == ("the category 'sql'",)
    assert decision.reasons == (
        "the category 'sql' lost 50.0 points over 30 tasks, at most 5 are tolerated",
        "over 110 tasks the candidate scores +40.9 points against the live version",
    )


def test_categories_under_the_names_of_their_groups_are_not_looked_at_twice():
    found = [Pair(str(n), "a", 0.0, 100.0, "a") for n in range(100)]

    assert decide(found, RULES).harmed == ("the group 'a'",)


def test_many_categories_do_not_cry_harm_where_one_alone_would():
    """−15 points over 20 tasks at a standard error of 9: evidence of harm among two categories, chance among thirteen."""
    noisy = [(50.0, 100.0)] * 10 + [(100.0, 50.0)] * 4 + [(50.0, 50.0)] * 6
    good = [(100.0, 50.0)] * 8 + [(50.0, 50.0)] * 2

    few = decide(in_categories(noisy=noisy, rest=good * 12), RULES)
    many = decide(in_categories(noisy=noisy, **{f"c{n}": good for n in range(12)}), RULES)

    assert few.harmed == ("the category 'noisy'",)
    assert (many.harmed, many.verdict) == ((), Verdict.PROMOTE)


def test_another_domain_that_is_forgotten_stops_a_gain():
    guard = Guard("legal", pairs([(20.0, 80.0)] * 20 + [(70.0, 60.0)] * 20))

    decision = decide(graded(70, 2, 30), RULES, guards=(guard,))

    assert decision.verdict is Verdict.KEEP
    assert "the domain 'legal' lost 25.0 points over 40 tasks" in decision.reasons[0]


def test_another_domain_that_is_remembered_stops_nothing():
    guard = Guard("legal", pairs([(60.0, 62.0)] * 20 + [(70.0, 69.0)] * 20))

    assert decide(graded(70, 2, 30), RULES, guards=(guard,)).verdict is Verdict.PROMOTE


def test_our_own_errors_are_not_cured_by_more_tasks():
    assert decide(graded(14, 8, 98), RULES, infra_share=0.05).more_tasks is None


def test_a_comparison_names_the_version_that_it_is_against():
    decision = decide(graded(70, 2, 30), RULES, against="engie-coder:v3")

    assert "points against engie-coder:v3; with 95 % confidence" in decision.reasons[0]
