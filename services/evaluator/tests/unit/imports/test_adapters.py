from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from forge_common.errors import NotFound
from forge_evaluator.benchmarks import load
from forge_evaluator.imports import ADAPTERS
from forge_evaluator.imports.convert import NothingImported, Refused, convert

FIXTURES = Path(__file__).parents[2] / "fixtures" / "imports"


@pytest.fixture
def imported(tmp_path):
    """Imports the fixture of an adapter's name; gives what happened and the tasks, by id."""

    def run(name):
        found = convert(name, FIXTURES / f"{name}.jsonl", tmp_path / f"{name}.jsonl")
        return found, {task.id: task for task in load(found.file).tasks}

    return run


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_writes_a_file_that_loads_with_a_manifest_that_fits(imported, name):
    found, tasks = imported(name)

    assert len(tasks) == found.tasks > 0
    assert found.records == found.tasks + len(found.refused)
    assert json.loads((found.file.parent / f"{name}.manifest.json").read_text())["sha256"] == (
        load(found.file).sha256
    )


def test_humaneval_shows_the_stub_and_keeps_helpers_as_preamble(imported):
    found, tasks = imported("humaneval")

    task = tasks["HumanEval/0"]
    assert task.prompt.count("def halve_all(") == 1
    assert "return [halved" not in task.prompt
    assert task.check.preamble.startswith("from typing import List\n\nSTEP = 2")
    assert task.check.preamble.endswith("return x / STEP")
    assert "def halve_all" not in task.check.preamble
    assert tasks["HumanEval/1"].check.preamble == ""
    assert found.refused == [
        Refused(3, "no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        Refused(4, "test does not define check(candidate)"),
        Refused(5, "the id HumanEval/1 is that of line 2"),
        Refused(6, "the prompt with its canonical_solution does not define g"),
    ]


def test_mbpp_finds_the_function_that_is_tested_among_its_helpers(imported):
    found, tasks = imported("mbpp")

    task = tasks["MBPP/2"]
    assert task.check.entry_point == "count_vowels"
    assert "assert count_vowels('banana') == 3" in task.prompt
    assert "count_vowels('')" not in task.prompt
    assert "count_vowels('')" in task.check.tests
    assert tasks["MBPP/3"].check.tests.startswith("import math\n")
    assert [(r.line, r.reason) for r in found.refused] == [
        (3, "test_list is empty"),
        (4, "the tests call no function that the code defines"),
    ]


def run_evalplus(task, function):
    space = {}
    exec(task.check.tests, space)
    space["check"](function)


def test_evalplus_compares_with_the_canonical_solution_where_the_contract_holds(imported):
    found, tasks = imported("evalplus")
    task = tasks["HumanEval/0"]

    run_evalplus(task, lambda xs: sum(xs) / len(xs))
    with pytest.raises(AssertionError, match=r"\[\[1, 2, 3\]\]: expected 2.0, got 3"):
        run_evalplus(task, max)
    with pytest.raises(AssertionError, match="1000000"):
        run_evalplus(task, lambda xs: min(sum(xs) / len(xs), 1000))
    assert "_CONTRACT_" not in task.gold_answer
    assert [r.reason for r in found.refused] == [
        "base_input is empty",
        "base_input is not a list of argument lists",
    ]


def test_gsm8k_takes_the_number_after_the_hashes(imported):
    found, tasks = imported("gsm8k")

    assert [task.check.value for task in tasks.values()] == [248, 2234, -3]
    assert "<<" not in tasks["gsm8k/1"].gold_answer
    assert found.refused == [Refused(4, "answer does not end with #### and a number")]


def test_choices_are_read_in_their_usual_shapes_and_never_guessed(imported):
    found, tasks = imported("choice")

    answers = {name: task.check.options[ord(task.gold_answer) - 65] for name, task in tasks.items()}
    assert answers == {
        "choice/1": "7",
        "Q_1": "heat",
        "Q_2": "cork",
        "choice/4": "green",
        "70": "C",
        "choice/6": "it rains.",
        "choice/7": "cup",
        "choice/8": "Put it in the fridge.",
        "choice/9": "Paris",
    }
    assert tasks["choice/1"].category == "number_theory"
    assert [r.reason for r in found.refused] == [
        "answer 'A' is both an option's letter and another option's text",
        "answer 2 is none of the 2 options",
        "no choices, options, endings and no options in fields of their own",
        "two options are the same",
    ]


def test_questions_keep_every_way_to_say_the_answer_and_count_what_needs_a_judge(imported):
    found, tasks = imported("qa")

    assert tasks["s1"].check.also == ("in 1894",)
    assert tasks["s1"].prompt.startswith("The bridge was built in 1894.")
    assert tasks["t1"].check.also == ("Anna Writer",)
    assert tasks["qa/4"].check.kind == "document"
    assert found.needs_judge == 1
    assert [r.reason for r in found.refused] == ["question is empty", "no answer"]


def test_a_packed_file_is_the_same_and_one_that_breaks_off_says_where(tmp_path):
    packed = gzip.compress((FIXTURES / "gsm8k.jsonl").read_bytes() * 200)
    (tmp_path / "whole.jsonl.gz").write_bytes(packed)
    (tmp_path / "torn.jsonl.gz").write_bytes(packed[:-200])

    whole = convert("gsm8k", tmp_path / "whole.jsonl.gz", tmp_path / "a.jsonl")
    torn = convert("gsm8k", tmp_path / "torn.jsonl.gz", tmp_path / "b.jsonl")

    assert (whole.tasks, whole.records) == (600, 800)
    assert 0 < torn.tasks <= 600
    assert "breaks off" in torn.refused[-1].reason


def test_a_file_of_another_kind_leaves_what_was_there(tmp_path):
    out = tmp_path / "mine.jsonl"
    out.write_text("mine")

    with pytest.raises(NothingImported, match=r"none of the 4 records .* line 1: no prompt"):
        convert("humaneval", FIXTURES / "gsm8k.jsonl", out)
    with pytest.raises(NotFound, match="no file"):
        convert("humaneval", tmp_path / "nowhere", out)

    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]
