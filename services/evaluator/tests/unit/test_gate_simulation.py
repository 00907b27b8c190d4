"""The shipped gate against candidates whose truth is known, with the benchmark's own simulator: `bench/gate_bench.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from forge_common.contracts.scorecard import Verdict


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).parents[2] / "bench" / "gate_bench.py"
    spec = importlib.util.spec_from_file_location("gate_bench", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate_bench"] = module
    spec.loader.exec_module(module)
    return module


def test_the_simulated_gain_is_the_one_that_was_asked_for(bench):
    pairs = bench.Simulator(5).pairs("c", 40_000, 4, 10.0, bench.CHANGE_SD)

    differences = [pair.difference for pair in pairs]
    assert np.mean(differences) == pytest.approx(10, abs=0.5)
    assert np.std(differences) == pytest.approx(32, abs=4)  # of the research's own simulation


def test_an_unchanged_candidate_is_promoted_about_one_time_in_twenty(bench):
    assert 0.02 <= bench.promoted(bench.UNCHANGED, 400) <= 0.08


def test_ten_points_more_are_nearly_always_found(bench):
    assert bench.promoted(bench.BETTER, 100) >= 0.95


def test_five_points_less_are_never_promoted(bench):
    assert bench.promoted(bench.World("worse", gain=-5), 150) <= 0.01


def test_a_third_unchanged_candidate_is_promoted_one_time_in_a_hundred(bench):
    assert bench.promoted(bench.World("third", judged_before=2), 300) <= 0.03


def test_one_category_that_loses_20_points_is_not_made_up_for(bench):
    assert bench.promoted(bench.World("hurt", gain=10, hurt=-20), 100) <= 0.03


def test_many_categories_cost_a_good_candidate_next_to_nothing(bench):
    assert bench.promoted(bench.World("many", gain=10, categories=12), 100) >= 0.93


def test_another_domain_that_loses_30_points_is_noticed(bench):
    assert bench.promoted(bench.World("forgets", gain=10, guards=4, forgets=30), 100) <= 0.12


def test_too_few_tasks_decide_nothing_whatever_the_gain(bench):
    simulator = bench.Simulator(2)

    verdicts = {bench.judge(simulator, bench.World("few", gain=30, tasks=90)) for _ in range(20)}

    assert verdicts == {Verdict.INSUFFICIENT_DATA}
