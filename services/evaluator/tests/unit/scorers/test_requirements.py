from __future__ import annotations

import pytest

from forge_evaluator.scorers.compare import same_number, same_rows
from forge_evaluator.scorers.requirements import completeness, is_sentence
from forge_evaluator.syntax import parse

CODE = '''
def f(values):
    """Uses a deque and a heap."""
    # sorted, reversed
    return [v for v in values if v is not None]
'''


@pytest.mark.parametrize("requirement", ["def f(", "return", "is not None", "DEF F", "for v in values"])
def test_a_requirement_in_the_code_is_covered(requirement):
    assert completeness([requirement], parse(CODE, "python"), 0.0) == 1


@pytest.mark.parametrize("requirement", ["deque", "sorted", "values is", "retur", "lambda"])
def test_words_in_comments_and_parts_of_words_are_no_evidence(requirement):
    assert completeness([requirement], parse(CODE, "python"), 1.0) == 0


def test_a_sentence_is_covered_as_far_as_the_cases_pass():
    assert is_sentence("Handles an empty list without failing.")
    assert not is_sentence("raise ValueError")
    assert (
        completeness(["Handles an empty list without failing.", "return"], parse(CODE, "python"), 0.5) == 0.75
    )
    assert completeness([], parse(CODE, "python"), 0.25) == 0.25


def test_rows_are_compared_as_a_database_counts():
    assert same_rows([["a", 2], ["b", 0.3]], [["b", 0.1 + 0.2], ["a", 2.0]], ordered=False)
    assert not same_rows([["a", 2], ["b", 3]], [["b", 3], ["a", 2]], ordered=True)
    assert not same_rows([[1]], [["1"]], ordered=False)
    assert not same_rows([[1], [1]], [[1]], ordered=False)
    assert not same_rows([[None]], [[0]], ordered=False)
    assert not same_rows([[1]], "rows", ordered=False)


def test_javascript_has_one_kind_of_number():
    assert same_number({"a": [1.0, 2]}, {"a": [1, 2.0]})
    assert not same_number(1, True)
    assert not same_number(1, "1")
    assert not same_number([1], [1.5])
