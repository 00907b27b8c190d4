"""What travels arrives as it was, type included; what is no plain data is refused."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction

import pytest

from forge_evaluator.sandbox.inside import plain


@pytest.mark.parametrize(
    "value",
    [
        None, True, 2**200, -1.5, "é", [1, [2]], (1, (2,)), {1, 2}, frozenset("ab"), b"\0\xff", 1 + 2j, {"a": 1},
        {1: "x", (2, 3): None}, {"$tuple": [1]}, Counter("aab"), OrderedDict(b=1, a=2), deque([1, (2,)]),
        Decimal("1.10"), Fraction(1, 3), range(1, 9, 2),
    ],
)  # fmt: skip
def test_values_arrive_as_they_were(value):
    arrived = plain.decode(json.loads(plain.dump(plain.encode(value))))

    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    "lazy", [(n for n in (1, 2)), map(int, "12"), filter(None, [1, 2]), iter([1, 2]), iter((1, 2)), {1: 0, 2: 0}.keys()]
)  # fmt: skip
def test_what_is_lazy_arrives_as_an_iterator_over_what_it_gives(lazy):
    arrived = plain.decode(plain.encode(lazy))

    assert next(arrived) == 1
    assert list(arrived) == [2]


def test_subclasses_objects_and_functions_are_refused():
    class Own(int):
        pass

    for value in (Own(3), object(), len, Own, defaultdict(list), [Own(3)]):
        with pytest.raises(plain.Unsendable, match="no plain data"):
            plain.encode(value)


def test_endless_deep_and_large_values_are_refused():
    def endless():
        while True:
            yield 0

    cyclic: list[object] = []
    cyclic.append(cyclic)
    for value, why in ((endless(), "items"), (cyclic, "deeper"), ("x" * 2_000_000, "larger")):
        with pytest.raises(plain.Unsendable, match=why):
            plain.encode(value)
