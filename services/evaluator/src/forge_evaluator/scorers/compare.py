"""Type-strict equality of tagged plain data, outside the sandbox, without ever rebuilding the values.

`True` is not 1 and 1 is not 1.0; floats agree to nine digits; sets and dicts have no order.
"""

from __future__ import annotations

import json
import math

from forge_evaluator.sandbox import Tagged

_UNORDERED = frozenset({"$set", "$frozenset", "$dict"})
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12


def equal(expected: Tagged, actual: Tagged) -> bool:
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, float) and isinstance(actual, float):
        return _close(expected, actual)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(equal, expected, actual))
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(
            _equal_under(key, item, actual[key]) for key, item in expected.items()
        )
    return expected == actual


def _equal_under(key: str, expected: Tagged, actual: Tagged) -> bool:
    if key in _UNORDERED and isinstance(expected, list) and isinstance(actual, list):
        return equal(sorted(expected, key=_order), sorted(actual, key=_order))
    return equal(expected, actual)


def _order(value: Tagged) -> str:
    return json.dumps(value, sort_keys=True)


def _close(expected: float, actual: float) -> bool:
    if math.isnan(expected) or math.isnan(actual):
        return math.isnan(expected) and math.isnan(actual)
    return math.isclose(expected, actual, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
