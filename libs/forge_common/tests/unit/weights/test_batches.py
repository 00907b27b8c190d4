"""Batches, parts of batches and the learning rate."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from forge_common.contracts.domain import TrainingRules
from forge_common.weights.batches import PART_TOKENS, BatchPlan, learning_rate, packs, parts

LENGTHS = [(7 * i) % 50 + 1 for i in range(103)]


def make_plan(**rules):
    return BatchPlan(LENGTHS, TrainingRules.model_validate({"batch_size": 10, "epochs": 3} | rules))


def test_every_epoch_sees_every_row_once():
    batches = [rows for _, rows in make_plan().batches(0)]

    assert len(batches) == 33
    for epoch in range(3):
        seen = itertools.chain(*batches[epoch * 11 : (epoch + 1) * 11])
        assert sorted(seen) == list(range(103))


def test_epochs_differ_and_seeds_differ_but_a_repetition_is_the_same():
    first = list(make_plan().batches(0))

    assert first[:11] != [(step - 11, rows) for step, rows in first[11:22]]
    assert first == list(make_plan().batches(0))
    assert first != list(make_plan(seed=2).batches(0))


@pytest.mark.parametrize("start", [0, 1, 10, 11, 32, 33])
def test_a_plan_goes_on_from_any_step_as_if_it_had_never_stopped(start):
    assert list(make_plan().batches(start)) == list(make_plan().batches(0))[start:]


def test_a_step_count_wins_over_epochs_and_may_be_longer_than_the_data():
    steps = [step for step, _ in make_plan(iterations=25).batches(0)]

    assert steps == list(range(25))


def test_half_an_epoch_is_half_the_batches():
    assert make_plan(epochs=0.5).steps == 6


def test_batches_counted_in_tokens_hold_every_row_once_and_few_tokens_too_many_never():
    plan = make_plan(batch_tokens=120, epochs=2)
    batches = [rows for _, rows in plan.batches(0)]

    assert len(batches) == plan.steps
    assert sorted(itertools.chain(*batches)) == sorted(list(range(103)) * 2)
    assert all(sum(LENGTHS[i] for i in rows) <= 120 and len(rows) <= 10 for rows in batches)
    assert list(plan.batches(17)) == list(plan.batches(0))[17:]


def test_a_row_longer_than_a_batch_of_tokens_is_one_by_itself():
    plan = BatchPlan([500, 3, 4], TrainingRules(batch_tokens=100, epochs=1))

    assert sorted(sorted(rows) for _, rows in plan.batches(0)) == [[0], [1, 2]]


def test_rows_of_a_batch_are_of_similar_length():
    spread = [
        max(LENGTHS[i] for i in rows) - min(LENGTHS[i] for i in rows) for _, rows in make_plan().batches(0)
    ]

    assert sum(spread) / len(spread) < 8  # unsorted batches of ten spread over 40


def test_parts_hold_every_row_once_within_the_limit():
    rows = list(range(40))

    cut = parts(rows, LENGTHS, 100)

    assert sorted(itertools.chain(*cut)) == rows
    assert all(len(part) * max(LENGTHS[i] for i in part) <= 100 for part in cut)


def test_a_row_longer_than_the_limit_is_a_part_of_its_own():
    assert parts([0, 1, 2], [500, 3, 4], 100) == [[1, 2], [0]]


def test_parts_cost_no_more_than_any_other_cut():
    """All 2¹¹ ways of cutting twelve rows, ordered by length."""
    lengths = sorted(random.Random(5).choices(range(20, 900), k=12))

    def cost(cut):
        return sum(len(part) * lengths[part[-1]] + PART_TOKENS for part in cut)

    ways = (
        [list(range(a, b)) for a, b in itertools.pairwise([0, *borders, 12])]
        for count in range(12)
        for borders in itertools.combinations(range(1, 12), count)
    )
    allowed = [cut for cut in ways if all(len(part) * lengths[part[-1]] <= 2000 for part in cut)]
    assert cost(parts(range(12), lengths, 2000)) == min(map(cost, allowed))


def test_packs_hold_every_row_once_within_the_limit_and_waste_little():
    rows = list(range(40))

    packed = packs(rows, LENGTHS, 100)

    assert sorted(itertools.chain(*packed)) == rows
    assert all(sum(LENGTHS[i] for i in pack) <= 100 for pack in packed)
    assert len(packed) <= math.ceil(11 / 9 * sum(LENGTHS) / 100) + 1


def test_a_row_longer_than_a_pack_is_one_by_itself():
    assert packs([0, 1, 2], [500, 3, 4], 100) == [[0], [2, 1]]


def test_the_learning_rate_warms_up_and_decays_to_a_twentieth():
    rules = TrainingRules(learning_rate=1.0, warmup_steps=4)

    rates = [learning_rate(step, rules, 100) for step in range(100)]

    assert rates[0] == pytest.approx(0.25)
    assert max(rates) == pytest.approx(0.97)
    assert rates.index(max(rates)) == 3
    assert rates[50] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.05)


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert learning_rate(0, TrainingRules(learning_rate=1.0, warmup_steps=0), 100) == 1.0


@pytest.mark.parametrize(
    ("schedule", "halfway", "last"), [("linear", 0.5, 0.05), ("cosine", 0.5, 0.05), ("constant", 1.0, 1.0)]
)
def test_each_schedule_goes_its_own_way(schedule, halfway, last):
    rules = TrainingRules(learning_rate=1.0, warmup_steps=1, schedule=schedule)

    assert learning_rate(50, rules, 100) == pytest.approx(halfway)
    assert learning_rate(99, rules, 100) == pytest.approx(last)
