from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from forge_common.nano import tasks
from forge_common.nano.grading import passes
from forge_common.nano.tasks import Task
from forge_common.nano.vocabulary import HELD_OUT_WORDS, is_held_out_constant

HELD_OUT = tasks.held_out_tasks()


def others(task: Task) -> Iterator[Task]:
    """Every other expression that takes the same kinds of arguments, with every constant."""
    for family in tasks.FAMILIES:
        for constant in family.constants or (None,):
            other = replace(task, family=family, constant=constant, wording=0)
            if family.kinds == task.family.kinds and other.expression != task.expression:
                yield other


def test_there_are_51_families_with_two_held_out_tasks_each():
    assert len({family.name for family in tasks.FAMILIES}) == 51
    assert len({task.prompt for task in HELD_OUT}) == 102


@pytest.mark.parametrize("task", HELD_OUT, ids=lambda task: task.family.name)
def test_only_the_tasks_own_expression_passes_its_cases(task):
    cases = tasks.cases(task)
    assert passes(task, task.answer, cases)
    assert [other.expression for other in others(task) if passes(task, other.answer, cases)] == []


def test_cases_are_the_same_every_time():
    assert [tasks.cases(task) for task in HELD_OUT] == [tasks.cases(task) for task in tasks.held_out_tasks()]


def test_a_result_of_the_wrong_type_fails():
    task = next(task for task in HELD_OUT if task.family.name == "even")
    as_number = f"def {task.signature}:\n    return int({task.expression})"
    assert not passes(task, as_number)


@pytest.mark.parametrize(
    "answer", ["", "no code", "```python\n", "```python\nraise SystemError\n```", "def f(:"]
)
def test_an_answer_that_is_no_function_fails(answer):
    assert not passes(HELD_OUT[0], answer)


def test_training_never_sees_a_held_out_name_or_constant():
    for task in islice(tasks.training_tasks(), 2000):
        assert not HELD_OUT_WORDS & set(task.name.split("_"))
        assert task.constant is None or not is_held_out_constant(task.constant)


def test_held_out_names_and_constants_are_all_held_out():
    for task in HELD_OUT:
        assert set(task.name.split("_")[1:]) <= HELD_OUT_WORDS
        assert task.constant is None or is_held_out_constant(task.constant)


def test_another_seed_draws_other_training_tasks():
    first, second = (list(islice(tasks.training_tasks(seed), 51)) for seed in (1, 2))
    assert [task.family for task in first] == [task.family for task in second]
    assert {task.prompt for task in first} != {task.prompt for task in second}
