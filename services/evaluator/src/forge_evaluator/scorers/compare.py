"""Type-strict equality of tagged plain data, outside the sandbox, without ever rebuilding the values.

`True` is not 1 and 1 is not 1.0; floats agree to nine digits; sets and dicts have no order.
"""

from __future__ import annotations

import json
import math

from forge_evaluator.sandbox import Tagged

_UNORDERED = frozenset({"$set", "$frozenset", "$dict"})
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12
_EXACT = 2**53


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


def same_number(expected: Tagged, actual: Tagged) -> bool:
    """Equality where 1 and 1.0 are one number, as in JavaScript."""
    return equal(_one_kind(expected), _one_kind(actual))


def _one_kind(value: Tagged) -> Tagged:
    if isinstance(value, list):
        return [_one_kind(item) for item in value]
    if isinstance(value, dict):
        return {key: _one_kind(item) for key, item in value.items()}
    return (
        float(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _EXACT
        else value
    )


def same_rows(expected: list[Tagged], actual: Tagged, *, ordered: bool) -> bool:
    """Rows of a query. A whole number and a float of the same value are one: SQLite's sums and averages turn either way."""
    if not isinstance(actual, list) or len(actual) != len(expected):
        return False
    ours, theirs = [_plain(row) for row in expected], [_plain(row) for row in actual]
    if not ordered:
        ours, theirs = sorted(ours, key=_order), sorted(theirs, key=_order)
    return equal(ours, theirs)


def _plain(row: Tagged) -> Tagged:
    cells = row["$tuple"] if isinstance(row, dict) and "$tuple" in row else row
    return [_cell(cell) for cell in cells] if isinstance(cells, list) else cells


def _cell(value: Tagged) -> Tagged:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < _EXACT else value
    # Six digits: the order of a floating-point sum is the database's own.
    return float(f"{value:.9g}") if isinstance(value, float) else value
