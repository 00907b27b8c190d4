"""Changed gold answers are what they say they are: the same program, or another one that still parses."""

from __future__ import annotations

import pytest

from forge_evaluator import mutation
from forge_evaluator.syntax import parse

PYTHON = """import re

LIMIT = 3

def outer(values, *, limit=LIMIT):
    def inner(value):
        nonlocal count
        count += 1
        return [part for part in re.split("x", value) if part]
    count = 0
    try:
        found = [inner(value=v) for v in values]
    except TypeError as error:
        return str(error)
    return found[:limit], count
"""


def run(code, *arguments):
    names = {}
    exec(code, names)
    return names["outer"](*arguments)


def test_a_renamed_program_does_the_same_under_other_names():
    renamed = mutation.renamed(PYTHON, "python")

    assert run(renamed, ["axb", "c"]) == run(PYTHON, ["axb", "c"]) == ([["a", "b"], ["c"]], 2)
    assert "found" not in renamed
    assert all(kept in renamed for kept in ("LIMIT", "outer", "error", "value="))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("function f(a, b = 1) { const c = a + b; return { c, d: a.a }; }", "function f(v0_, v1_ = 1) { const c = v0_ + v1_; return { c, d: v0_.a }; }"),
        ("const f = (x) => x;", "const f = (v0_) => v0_;"),
    ],
)  # fmt: skip
def test_renaming_a_script_leaves_properties_and_shorthands_alone(code, expected):
    assert mutation.renamed(code, "javascript") == expected


@pytest.mark.parametrize(
    ("language", "code"),
    [("python", "def f(a):\n    return a + 1 if a > 0 else 0"), ("javascript", "function f(a) { return a >= 1 && a === 2; }"),
     ("sql", "SELECT COUNT(a) FROM t WHERE b > 1 ORDER BY a DESC"), ("bash", 'if [ "$1" -eq 1 ]; then sort f; fi')],
)  # fmt: skip
def test_mutants_differ_and_parse(language, code):
    mutants = list(mutation.mutants(code, language))

    assert len(mutants) >= 2
    assert code not in mutants
    assert all(parse(mutant, language) is not None for mutant in mutants)


def test_half_a_program_has_half_of_its_statements():
    assert mutation.half("def f(a):\n    b = a\n    return b", "python") == "def f(a):\n    b = a"
    assert mutation.half("one\ntwo\nthree\nfour", "bash") == "one\ntwo"
