"""Plain statistics of paired scores, one observation a task. Pure; no random draws, no dependency.

A task's samples are averaged first: samples of one task are not independent, tasks are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean

from forge_common.contracts.scorecard import Figure

_POWER = 0.8
_LEVEL = 0.95


def figure(values: Sequence[float], *, lowest: float = 0.0, highest: float = 100.0) -> Figure:
    """Mean with its two-sided 95 % t interval, cut to what a mean can be; no interval below two values."""
    if not values:
        return Figure(n=0, mean=None, low=None, high=None, stderr=None)
    mean, error = fmean(values), standard_error(values)
    if error is None:
        return Figure(n=1, mean=mean, low=None, high=None, stderr=None)
    reach = t_quantile((1 + _LEVEL) / 2, len(values) - 1) * error
    return Figure(
        n=len(values), mean=mean, low=max(lowest, mean - reach), high=min(highest, mean + reach), stderr=error
    )


def standard_error(values: Sequence[float]) -> float | None:
    return _spread(values) / math.sqrt(len(values)) if len(values) > 1 else None


def lower_bound(values: Sequence[float], alpha: float) -> float | None:
    """One-sided lower bound of the mean at level `alpha`; None below two values."""
    error = standard_error(values)
    return None if error is None else fmean(values) - t_quantile(1 - alpha, len(values) - 1) * error


def upper_bound(values: Sequence[float], alpha: float) -> float | None:
    bound = lower_bound([-value for value in values], alpha)
    return None if bound is None else -bound


def detectable(values: Sequence[float], alpha: float) -> float | None:
    """The smallest true difference that so many values of such a spread would have shown with 80 % power."""
    error = standard_error(values)
    return None if error is None else _reach(alpha) * error


def needed(values: Sequence[float], alpha: float) -> int | None:
    """How many values in all would show the observed mean with 80 % power; None when the mean is not positive."""
    mean = fmean(values)
    if mean <= 0 or len(values) < 2:
        return None
    return math.ceil((_reach(alpha) * _spread(values) / mean) ** 2)


def pass_at_k(n: int, correct: int, k: int) -> float | None:
    """Unbiased pass@k of n samples, after Chen et al. 2021; None for n < k."""
    if n < k:
        return None
    if n - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - correct + 1, n + 1))


def _spread(values: Sequence[float]) -> float:
    """The sample's standard deviation. `statistics.stdev` reckons in fractions, seven times as long."""
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _reach(alpha: float) -> float:
    normal = NormalDist()
    return normal.inv_cdf(1 - alpha) + normal.inv_cdf(_POWER)


@cache
def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t, by bisection on its distribution function; exact to about 1e-10."""
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def t_cdf(t: float, df: int) -> float:
    """For t ≥ 0: by the regularised incomplete beta function, Numerical Recipes 6.4."""
    return 1 - 0.5 * _beta_regularised(df / (df + t * t), df / 2, 0.5)


def _beta_regularised(x: float, a: float, b: float) -> float:
    if x <= 0 or x >= 1:
        return max(0.0, min(1.0, x))
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(x, a, b) / a
    return 1 - front * _continued_fraction(1 - x, b, a) / b


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _away(1 + step * d, tiny)
            c = _away(1 + step / c, tiny)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away(value: float, tiny: float) -> float:
    return tiny if abs(value) < tiny else value
