from importlib.resources import files

from forge_common.nano import benchmark, practice
from forge_evaluator.benchmarks import read
from forge_evaluator.benchmarks.overlap import overlaps


def shipped(path):
    return files("forge_evaluator").joinpath(path).read_text(encoding="utf-8")


def test_the_shipped_nano_benchmark_is_what_its_generator_makes():
    assert shipped("benchmarks/nano.jsonl") == benchmark.dump()


def test_the_shipped_nano_practice_is_what_its_generator_makes_and_gives_no_benchmark_away():
    assert shipped("practice/nano.jsonl") == practice.dump()
    tasks = read(practice.dump().encode()).tasks
    assert overlaps(tasks, read(benchmark.dump().encode()).tasks) == []
    assert all(0 < sum(case.hidden for case in task.check.tests) < len(task.check.tests) for task in tasks)
