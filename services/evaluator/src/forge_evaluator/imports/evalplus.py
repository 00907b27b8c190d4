"""EvalPlus' records: arguments only. What is right is what the canonical solution returns, asked beside the candidate."""

from __future__ import annotations

import json

from pydantic import JsonValue

from forge_evaluator.benchmarks import Task
from forge_evaluator.imports import programs
from forge_evaluator.imports.humaneval import Stub, stub_task
from forge_evaluator.imports.records import Fields, Unreadable, text

# The reference runs with the tests, in their sandbox; the candidate never sees it. Arguments that break the contract ask
# nothing, and a file of which none is left passes nobody.
_TESTS = """\
import copy
import json
import math

_reference = {{}}
exec({source}, _reference)
_reference = _reference[{entry_point}]
_inputs = json.loads({inputs})
_atol = {atol}


def _equal(expected, actual):
    if isinstance(expected, float) or isinstance(actual, float):
        try:
            return math.isclose(expected, actual, rel_tol=1e-7, abs_tol=_atol or 1e-6) or (
                math.isnan(expected) and math.isnan(actual)
            )
        except (TypeError, OverflowError):
            return expected == actual
    if isinstance(expected, (list, tuple)) and type(expected) is type(actual):
        return len(expected) == len(actual) and all(map(_equal, expected, actual))
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(_equal(expected[key], actual[key]) for key in expected)
    return expected == actual


def check(candidate):
    decided = 0
    for arguments in _inputs:
        try:
            expected = _reference(*copy.deepcopy(arguments))
        except AssertionError:
            continue
        actual = candidate(*copy.deepcopy(arguments))
        shown = json.dumps(arguments, default=str)[:200]
        assert _equal(expected, actual), f"{{shown}}: expected {{expected!r:.200}}, got {{actual!r:.200}}"
        decided += 1
    assert decided, "no arguments are left by the contract"
"""


def task(fields: Fields, line: int) -> Task:
    prompt, solution = text(fields, "prompt"), text(fields, "canonical_solution")
    entry_point = programs.entry_point_of(text(fields, "entry_point"))
    contract = fields.get("contract") or ""
    if not isinstance(contract, str):
        raise Unreadable("contract is not a text")
    reference = f"{prompt}\n{contract}\n{solution}"
    programs.module(reference, entry_point, "the prompt with its contract and canonical_solution")
    tests = _TESTS.format(
        source=repr(reference),
        entry_point=repr(entry_point),
        inputs=repr(json.dumps([*_inputs(fields, "base_input"), *_inputs(fields, "plus_input")])),
        atol=float(_tolerance(fields)),
    )
    name = str(fields.get("task_id") or f"evalplus/{line}")
    return stub_task(Stub(name, "evalplus", prompt, f"{prompt}\n{solution}"), entry_point, tests)


def _inputs(fields: Fields, name: str) -> list[JsonValue]:
    """Lists of arguments. Raises Unreadable."""
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(arguments, list) for arguments in value):
        raise Unreadable(f"{name} is not a list of argument lists")
    if name == "base_input" and not value:
        raise Unreadable("base_input is empty")
    return value


def _tolerance(fields: Fields) -> float:
    value = fields.get("atol") or 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise Unreadable("atol is not a number")
    return value
