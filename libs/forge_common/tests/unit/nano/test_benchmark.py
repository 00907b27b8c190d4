import json

from forge_common.nano import benchmark
from forge_common.nano.grading import passes
from forge_common.nano.tasks import Case
from forge_common.nano.teacher import answer, parse

LINES = [json.loads(line) for line in benchmark.dump().splitlines()]


def group(name):
    return [line for line in LINES if line["domain_group"] == name]


def test_there_are_102_coding_tasks_and_66_general_ones():
    assert (len(group("coding")), len(group("general"))) == (102, 66)
    assert len({line["id"] for line in LINES}) == len({line["prompt"] for line in LINES}) == 168


def test_every_gold_answer_passes_the_cases_as_they_read_from_the_file():
    for line in group("coding"):
        task = parse(line["prompt"])
        tests = [Case(**test) for test in line["test_cases"]["tests"]]
        assert task.name == line["test_cases"]["entry_point"]
        assert len(tests) == 8
        assert passes(task, line["gold_answer"], tests)


def test_every_general_gold_answer_is_the_expected_string():
    for line in group("general"):
        assert line["gold_answer"] == line["test_cases"]["expected"]
        assert line["gold_answer"] == answer([{"role": "user", "content": line["prompt"]}])
