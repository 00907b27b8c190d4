"""The shipped coding tasks as data: enough of every kind, hidden cases, prompts that show the visible ones only."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from forge_common import domains
from forge_evaluator.benchmarks import CodeCheck, practice, read, shipped
from forge_evaluator.benchmarks.manifest import language

TASKS = read(shipped("coding")).tasks
CODE = [task for task in TASKS if isinstance(task.check, CodeCheck)]


def test_there_are_enough_tasks_of_every_language_and_kind():
    languages = Counter(language(task.check) for task in TASKS)
    categories = Counter(task.category for task in TASKS)
    assert len(TASKS) >= 160
    assert languages["python"] >= 84
    assert languages["javascript"] + languages["typescript"] >= 42
    assert languages["sql"] >= 14
    assert languages["bash"] >= 12
    assert categories["debugging"] >= 12
    assert categories["refactoring"] >= 8


@pytest.mark.parametrize("task", CODE, ids=lambda task: task.id)
def test_a_function_has_four_hidden_cases_that_the_prompt_does_not_show(task):
    hidden = [case for case in task.check.tests if case.hidden]
    assert len(hidden) >= 4
    assert len(task.check.tests) >= 7
    shown = task.prompt.count(f"- `{task.check.entry_point}(")
    assert shown == len(task.check.tests) - len(hidden) > 0


@pytest.mark.parametrize("task", CODE, ids=lambda task: task.id)
def test_no_case_is_given_twice(task):
    calls = [json.dumps(case.args) for case in task.check.tests]
    assert len(set(calls)) == len(calls)


@pytest.mark.parametrize("task", [t for t in CODE if t.check.given], ids=lambda task: task.id)
def test_code_that_is_to_be_changed_stands_in_the_prompt(task):
    assert task.check.given in task.prompt


def test_the_domain_can_be_decided_on_these_tasks():
    rules = domains.load("coding").eval
    assert rules.has_executable_tests
    assert rules.gate.min_tasks <= len(TASKS)


def test_practice_has_problems_of_its_own():
    tasks = read(practice("coding")).tasks
    ours = {task.check.entry_point for task in CODE}
    assert len(tasks) >= 40
    assert not {task.check.entry_point for task in tasks if isinstance(task.check, CodeCheck)} & ours
