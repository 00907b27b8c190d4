"""Benchmarks are tested with a real sandbox before they may be used."""

from __future__ import annotations

import json

import pytest

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks import BenchmarkUnusable, DocumentCheck, read, shipped
from forge_evaluator.benchmarks.load import shipped_names
from forge_evaluator.benchmarks.selftest import check, require
from forge_evaluator.sandbox import Pool
from forge_evaluator.scorers import Answered, score

pytestmark = pytest.mark.integration

GOLD = "```python\ndef double(x):\n    total = x + x\n    return total\n```"
RIGHT = {
    "id": "right", "prompt": "Write double(x), which returns twice x.", "gold_answer": GOLD,
    "check": {"kind": "code", "entry_point": "double", "tests": [{"args": [2], "expected": 4}, {"args": [-1], "expected": -2}]},
}  # fmt: skip


@pytest.fixture(scope="module")
def pool(best_tier):
    with Pool(best_tier) as pool:
        yield pool


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_benchmark_passes_whole_and_every_gold_decides_all_that_is_asked_of_it(pool, name):
    benchmark = read(shipped(name))
    documents = [task for task in benchmark.tasks if isinstance(task.check, DocumentCheck)]

    tested = check(benchmark, pool)
    undecided = [
        (task.id, line)
        for task in documents
        for line in score(task, Answered(text=task.gold_answer), Scoring(), pool).evidence
        if "undecided" in line
    ]

    assert len(benchmark.tasks) >= 120
    assert (tested.flaws, tested.untested, undecided) == ((), (), [])


class Counting:
    def __init__(self, pool):
        self.pool = pool
        self.jobs = 0

    def run(self, job):
        self.jobs += 1
        return self.pool.run(job)


def benchmark(*tasks):
    return read("\n".join(json.dumps(task) for task in tasks).encode())


def with_check(**changes):
    return RIGHT | {"check": RIGHT["check"] | changes}


def test_a_benchmark_that_tells_right_from_wrong_passes(pool):
    tested = check(benchmark(RIGHT, {"id": "unscored", "prompt": "Say something."}), pool)

    assert (tested.flaws, tested.untested) == ((), ())


SEEDS = [
    {"id": "py", "language": "python", "prompt": "Write add(a, b).", "requirements": ["def"],
     "test_cases": [{"code": "print(add(1, 2))", "expected": "3"}, {"code": "print(add(-1, 2))", "expected": "1\n"}],
     "gold_answer": "```python\ndef add(a, b):\n    return a + b\n\nprint('for example', add(1, 1))\n```"},
    {"id": "js", "language": "javascript", "prompt": "Write debounce(fn, ms).", "requirements": ["clearTimeout"],
     "gold_answer": "```js\nfunction debounce(fn, ms) {\n  let t;\n  return (...a) => { clearTimeout(t); t = setTimeout(fn, ms, ...a); };\n}\n```"},
    {"id": "law", "prompt": "What makes a promise binding?", "requirements": ["consideration", "acceptance"],
     "gold_answer": "A promise needs consideration, something of value that each side gives. Acceptance must fit the offer: "
     "one that adds new terms is a counter-offer, which ends the first offer. Both sides must be able to agree, and minors "
     "may usually avoid what they signed. Some promises bind only in writing, such as those about land."},
]  # fmt: skip


@pytest.mark.parametrize("task", SEEDS, ids=["snippets", "parsed", "document"])
def test_the_seeds_own_format_tells_right_from_wrong(pool, task):
    assert check(benchmark(task), pool).flaws == ()


def test_verdicts_of_tests_that_run_beside_the_answer_are_marked_weak(pool):
    (task,) = benchmark(SEEDS[0]).tasks

    judged = score(task, Answered(text=task.gold_answer), Scoring(), pool)

    assert (judged.outcome, judged.is_weak) == ("passed", True)
    assert "weak" in judged.explanation


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (with_check(tests=[{"args": [2], "expected": 5}, {"args": [1], "expected": 2}]), "gold"),
        (RIGHT | {"gold_answer": "Twice x is x + x."}, "gold"),
        (RIGHT | {"requirements": ["lambda", "yield", "def"]}, "gold"),
        (with_check(tests=[{"args": [2], "expected": None}]), "stub"),
        (with_check(forbids=["ForLoop"]), "rule"),
        ({"id": "e", "prompt": "yes", "gold_answer": "yes", "check": {"kind": "exact", "expected": "yes"}}, "echo"),
    ],
)  # fmt: skip
def test_a_flaw_is_named_with_the_answer_that_shows_it(pool, task, answer):
    flaws = check(benchmark(task), pool).flaws

    assert answer in {flaw.answer for flaw in flaws}


def test_an_evaluation_of_a_flawed_benchmark_is_refused_with_the_flaws(pool, tmp_path):
    flawed = benchmark(with_check(tests=[{"args": [2], "expected": 5}]))

    for _ in range(2):  # the second time it is remembered
        with pytest.raises(BenchmarkUnusable, match="right: gold scores"):
            require(flawed, pool, Scoring(), sandbox_name="A", folder=tmp_path)


def test_what_was_tested_once_is_not_run_again(pool, tmp_path):
    counting = Counting(pool)

    require(benchmark(RIGHT), counting, Scoring(), sandbox_name="A", folder=tmp_path)
    first = counting.jobs
    require(benchmark(RIGHT), counting, Scoring(), sandbox_name="A", folder=tmp_path)

    assert (first > 0, counting.jobs) == (True, first)
    require(benchmark(RIGHT), counting, Scoring(), sandbox_name="B", folder=tmp_path)
    assert counting.jobs == 2 * first


def test_a_torn_note_of_an_earlier_test_is_no_pass(pool, tmp_path):
    require(benchmark(RIGHT), pool, Scoring(), sandbox_name="A", folder=tmp_path)
    (note,) = tmp_path.iterdir()
    note.write_text(note.read_text()[:7])
    counting = Counting(pool)

    require(benchmark(RIGHT), counting, Scoring(), sandbox_name="A", folder=tmp_path)

    assert counting.jobs > 0
