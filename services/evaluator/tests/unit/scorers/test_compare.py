from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_evaluator.sandbox.inside import plain
from forge_evaluator.scorers.compare import equal

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
KEYS = st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner)
        | st.sets(KEYS)
        | st.frozensets(KEYS)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_plain_value_survives_the_wire_and_equals_itself(value):
    sent = plain.json.loads(plain.dump(plain.encode(value)))

    assert equal(sent, plain.encode(value))
    assert repr(plain.decode(sent)) == repr(value) or equal(plain.encode(plain.decode(sent)), sent)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, True), (1, 1.0), (0, False), (0, None), ("1", 1), ([1], (1,)), ({1}, [1]), ({1}, frozenset({1})), ({1: 2}, {True: 2}),
        ({"a": 1}, {"a": 1, "b": 2}), ([1, 2], [2, 1]), (b"a", "a"), (1.0, 1.0001), (math.nan, 1.0), ("", None), ({}, []),
    ],
)  # fmt: skip
def test_different_values_and_types_differ(expected, actual):
    assert not equal(plain.encode(expected), plain.encode(actual))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [(0.3, 0.1 + 0.2), (math.nan, math.nan), ({1, 2, 3}, {3, 2, 1}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), (10**30, 10**30),
     ({(1, 2): 3, (0, 1): 4}, {(0, 1): 4, (1, 2): 3})],
)  # fmt: skip
def test_equal_values_are_equal_in_any_order_and_to_nine_digits(expected, actual):
    assert equal(plain.encode(expected), plain.encode(actual))


def test_a_forged_tag_equals_nothing_but_itself():
    assert not equal(plain.encode({1, 2}), {"$set": "anything"})
    assert not equal(plain.encode((1,)), {"$tuple": {"0": 1}})


class Sly(int):
    pass


@pytest.mark.parametrize("value", [Sly(1), object(), len, {1: Sly(2)}, [Sly(3)], {"a": lambda: 1}])
def test_only_exact_builtin_types_are_sent(value):
    with pytest.raises(plain.Unsendable):
        plain.encode(value)


def test_a_range_and_what_is_yielded_are_no_lists():
    assert equal(plain.encode(range(3)), plain.encode(range(3)))
    assert not equal(plain.encode([0, 1, 2]), plain.encode(range(3)))
    assert not equal(plain.encode([1]), plain.encode(iter([1])))
