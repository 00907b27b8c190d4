from __future__ import annotations

import time

import pytest

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks import ChoiceCheck, NumberCheck, Task
from forge_evaluator.scorers import Answered, score
from forge_evaluator.scorers.exact import normalise

CHOICE = Task(
    id="c", group="g", prompt="Which is a fruit? A) Oak B) Apple C) Iron", gold_answer="B",
    check=ChoiceCheck(options=("Oak", "Apple", "Iron"), answer="B"),
)  # fmt: skip
NUMBER = Task(id="n", group="g", prompt="What are 3 boxes of 12 eggs?", check=NumberCheck(value=1036.5))


def points(task, text):
    return score(task, Answered(text=text), Scoring(), None).points


@pytest.mark.parametrize(
    "text",
    ["B", "b. no: B" and "B.", "(B)", "B) Apple", "**B**", "Apple", "apple.", "The answer is B.", "Answer: (B)", "I think of A. Final answer: B",
     "<think>A?</think>B", "The answer is **B**, because A is a tree.", r"So \boxed{B}", "It is a plant one eats.\n\nB"],
)  # fmt: skip
def test_the_letter_that_an_answer_settles_on_is_read(text):
    assert points(CHOICE, text) == 100


@pytest.mark.parametrize(
    "text",
    ["", "A", "A B C", "A, B or C", "I cannot say.", "The answer is A. B is wrong.", CHOICE.prompt, CHOICE.prompt * 8, "Oak Apple Iron", "Banana", "D"],
)  # fmt: skip
def test_no_letter_another_letter_and_all_letters_are_wrong(text):
    assert points(CHOICE, text) == 0


@pytest.mark.parametrize(
    "text",
    ["1036.5", "#### 1036.5", "3 * 12 is 36, and 1,000 more, so:\n#### 1,036.50", "The answer is $1,036.50.", "$$\\boxed{1036.5}$$", "Of 3 and 12 comes 1.0365e3",
     "#### 1036.5\nThat is 5 more than 2."],
)  # fmt: skip
def test_the_final_number_is_read(text):
    assert points(NUMBER, text) == 100


@pytest.mark.parametrize(
    "text", ["", "none", "-1036.5", "1036", "1036.5 or 7", "#### 7\n1036.5", NUMBER.prompt, "1" * 400]
)
def test_another_number_is_wrong(text):
    assert points(NUMBER, text) == 0


def test_a_million_combining_marks_are_read_in_no_time():
    began = time.process_time()

    assert normalise("42" + "\u0301\u0323" * 500_000) != "42"

    assert time.process_time() - began < 2
