"""Against scipy, which the product does not depend on."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats as reference

from forge_evaluator import stats

SAMPLES = [
    [random.Random(f"{size}:{number}").gauss(3, 20) for number in range(size)]
    for size in (2, 3, 20, 102, 400)
]


@pytest.mark.parametrize("df", [1, 2, 5, 30, 101, 1000])
@pytest.mark.parametrize("p", [0.005, 0.2, 0.5, 0.8, 0.95, 0.975, 0.999])
def test_t_quantiles_are_scipys(p, df):
    assert stats.t_quantile(p, df) == pytest.approx(reference.t.ppf(p, df), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_a_figure_is_the_mean_with_its_t_interval(values):
    found = stats.figure(values, lowest=-math.inf, highest=math.inf)

    low, high = reference.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=reference.sem(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.stderr == pytest.approx(reference.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_an_interval_of_scores_stays_among_scores():
    found = stats.figure([100.0] * 9 + [0.0])

    assert found.high == 100.0
    assert found.low == pytest.approx(90 - reference.t.ppf(0.975, 9) * 10)


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_the_lower_bound_excludes_zero_exactly_when_the_one_sided_test_does(values):
    p = reference.ttest_1samp(values, 0, alternative="greater").pvalue

    assert stats.lower_bound(values, p) == pytest.approx(0, abs=1e-6)


def test_the_bound_agrees_with_a_bca_bootstrap():
    values = SAMPLES[-1]
    bootstrap = reference.bootstrap(
        (values,), np.mean, confidence_level=0.9, method="BCa", n_resamples=4000, rng=np.random.default_rng(1)
    )

    assert stats.lower_bound(values, 0.05) == pytest.approx(bootstrap.confidence_interval.low, abs=0.2)


def test_the_detectable_difference_is_2_49_standard_errors():
    values = SAMPLES[3]

    assert stats.detectable(values, 0.05) == pytest.approx(2.4865 * reference.sem(values), rel=1e-3)


def test_an_effect_of_the_detectable_size_is_found_four_times_in_five():
    rng = np.random.default_rng(7)
    effect = stats.detectable(rng.normal(0, 30, 200).tolist(), 0.05)
    found = [stats.lower_bound(rng.normal(effect, 30, 200).tolist(), 0.05) > 0 for _ in range(800)]

    assert np.mean(found) == pytest.approx(0.8, abs=0.1)


def test_too_little_data_gives_no_interval_instead_of_a_guess():
    assert stats.figure([]).mean is None
    assert stats.figure([50.0]).stderr is None
    assert stats.lower_bound([50.0], 0.05) is None


def test_pass_at_k_is_the_share_of_k_subsets_with_a_pass():
    n, correct, k = 6, 2, 3

    assert stats.pass_at_k(n, correct, k) == pytest.approx(1 - math.comb(n - correct, k) / math.comb(n, k))
    assert stats.pass_at_k(2, 1, 3) is None
    assert stats.pass_at_k(5, 5, 5) == 1.0
