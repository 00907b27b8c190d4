"""Plain data as tagged JSON: exact builtin types only, never pickle, bounded in depth, items and bytes.

JSON's own types stand for themselves; the rest is an object with one key that starts with `$`.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_BYTES = 1_000_000
MAX_DEPTH = 60
MAX_ITEMS = 200_000
_RAW_INT = 2**63


class Unsendable(Exception):
    """The value is no plain data, or too much of it."""


class _Budget:
    def __init__(self) -> None:
        self.items = MAX_ITEMS

    def spend(self, depth: int) -> None:
        self.items -= 1
        if self.items < 0:
            raise Unsendable(f"more than {MAX_ITEMS} items")
        if depth > MAX_DEPTH:
            raise Unsendable(f"nested deeper than {MAX_DEPTH}")


def encode(value: Any) -> Any:
    """Turn exact builtin values into tagged JSON. Raises Unsendable."""
    return _encode(value, 0, _Budget())


def dump(value: Any, limit: int = MAX_BYTES) -> bytes:
    """JSON of `value`, which must be tagged already. Raises Unsendable above `limit` bytes."""
    data = json.dumps(value).encode("ascii")
    if len(data) > limit:
        raise Unsendable(f"larger than {limit} bytes")
    return data


def _encode(value: Any, depth: int, budget: _Budget) -> Any:
    budget.spend(depth)
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if -_RAW_INT <= value < _RAW_INT else {"$int": hex(value)}
    if kind is str:
        return _short(value)
    encoder = _ENCODERS.get(kind)
    if encoder is None:
        raise Unsendable(f"a value of type {kind.__name__[:80]} is no plain data")
    return encoder(value, depth + 1, budget)


def _short(text: str) -> str:
    if len(text) > MAX_BYTES:
        raise Unsendable(f"larger than {MAX_BYTES} bytes")
    return text


def _items(values: Any, depth: int, budget: _Budget) -> list[Any]:
    return [_encode(value, depth, budget) for value in values]


def _mapping(value: dict[Any, Any], depth: int, budget: _Budget) -> dict[str, Any]:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {_short(key): _encode(item, depth, budget) for key, item in value.items()}
    return {"$dict": _pairs(value, depth, budget)}


def _tagged(tag: str) -> Callable[[Any, int, _Budget], dict[str, Any]]:
    return lambda value, depth, budget: {tag: _items(value, depth, budget)}


def _pairs(value: dict[Any, Any], depth: int, budget: _Budget) -> list[Any]:
    return [_items(pair, depth + 1, budget) for pair in value.items()]


# What is used up by looking at it, and so travels as what it would have given.
_LAZY: tuple[type, ...] = (
    *(type(empty) for empty in ((_ for _ in ()), iter([]), iter(()), iter({}), iter(""), reversed([]))),
    *(map, filter, zip, enumerate, type({}.keys()), type({}.values()), type({}.items())),
)

_ENCODERS: dict[type, Callable[[Any, int, _Budget], Any]] = {
    list: _items,
    dict: _mapping,
    tuple: _tagged("$tuple"),
    set: _tagged("$set"),
    frozenset: _tagged("$frozenset"),
    bytes: lambda value, _depth, _budget: {"$bytes": _short(value.hex())},
    complex: lambda value, _depth, _budget: {"$complex": [value.real, value.imag]},
    Counter: lambda value, depth, budget: {"$counter": _pairs(value, depth, budget)},
    OrderedDict: lambda value, depth, budget: {"$ordered": _pairs(value, depth, budget)},
    deque: _tagged("$deque"),
    Decimal: lambda value, _depth, _budget: {"$decimal": _short(str(value))},
    Fraction: lambda value, _depth, _budget: {"$fraction": _short(str(value))},
    range: lambda value, _depth, _budget: {"$range": [value.start, value.stop, value.step]},
}
_ENCODERS.update(dict.fromkeys(_LAZY, _tagged("$iterator")))

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$int": lambda body: int(body, 16),
    "$dict": lambda body: {decode(key): decode(item) for key, item in body},
    "$tuple": lambda body: tuple(decode(item) for item in body),
    "$set": lambda body: {decode(item) for item in body},
    "$frozenset": lambda body: frozenset(decode(item) for item in body),
    "$bytes": bytes.fromhex,
    "$complex": lambda body: complex(*body),
    "$counter": lambda body: Counter({decode(key): decode(item) for key, item in body}),
    "$ordered": lambda body: OrderedDict((decode(key), decode(item)) for key, item in body),
    "$deque": lambda body: deque(decode(item) for item in body),
    "$decimal": Decimal,
    "$fraction": Fraction,
    "$range": lambda body: range(*body),
    "$iterator": lambda body: iter([decode(item) for item in body]),
}


def decode(value: Any) -> Any:
    """The value that `encode` was given."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag,) = value
        if tag in _DECODERS:
            return _DECODERS[tag](value[tag])
    return {key: decode(item) for key, item in value.items()}
