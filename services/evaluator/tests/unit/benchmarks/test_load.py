from __future__ import annotations

import json

import pytest

from forge_common.errors import NotFound
from forge_evaluator.benchmarks import (
    BenchmarkUnusable,
    Case,
    CodeCheck,
    ExactCheck,
    Snippet,
    SnippetCheck,
    load,
    read,
    shipped,
)

SEEDS_OWN = {
    "id": "py-1", "category": "python", "language": "python", "prompt": "Write add(a, b).", "requirements": ["def"],
    "test_cases": [{"code": "print(add(1, 2))", "expected": "3"}], "gold_answer": "```python\ndef add(a, b): return a + b\n```",
}  # fmt: skip


def lines(*tasks):
    return "\n".join(json.dumps(task) for task in tasks).encode()


def test_the_seeds_format_loads_unchanged():
    (task,) = read(lines(SEEDS_OWN)).tasks

    assert (task.id, task.group, task.requirements) == ("py-1", "python", ("def",))
    assert task.check == SnippetCheck(tests=(Snippet(code="print(add(1, 2))", expected="3"),))


@pytest.mark.parametrize(
    ("gold", "language", "kind"),
    [
        ("```js\nfunction f() {}\n```", None, "parsed"),
        ("```go\nfunc F() int { return 1 }\n```", "go", "parsed"),
        ("An offer that is accepted binds both parties.", None, "document"),
        ("", None, None),
    ],
)
def test_the_seeds_tasks_without_tests_are_judged_by_what_they_have(gold, language, kind):
    task = SEEDS_OWN | {"test_cases": None, "language": language, "gold_answer": gold}

    check = read(lines(task)).tasks[0].check

    assert (check.kind if check else None) == kind


def test_a_task_of_the_seed_that_says_nothing_of_right_and_wrong_is_unscored():
    task = SEEDS_OWN | {
        "language": None,
        "test_cases": None,
        "requirements": ["It should be as fast as it can be."],
        "gold_answer": "It is.",
    }

    assert read(lines(task)).tasks[0].check is None


def test_a_check_may_stand_inside_test_cases_or_beside():
    check = {"kind": "code", "entry_point": "f", "tests": [{"args": [1], "expected": 2}]}
    inside = {"id": "a", "prompt": "p", "test_cases": check}
    beside = {"id": "b", "prompt": "p", "domain_group": "coding", **check}
    exact = {"id": "c", "prompt": "p", "kind": "exact", "expected": "x"}

    first, second, third = read(lines(inside, beside, exact)).tasks

    assert first.check == second.check == CodeCheck(entry_point="f", tests=(Case(args=(1,), expected=2),))
    assert second.group == "coding"
    assert third.check == ExactCheck(expected="x")


def test_the_manifest_names_the_bytes_and_counts():
    benchmark = read(shipped("nano"))

    assert benchmark.contents.tasks == benchmark.contents.scored == sum(benchmark.contents.groups.values())
    assert benchmark.contents.groups["coding"] == 102
    assert benchmark.contents.kinds.keys() == {"code", "exact"}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no tasks"),
        (b"{", "line 1 is no JSON"),
        (b'{"id": "a", "prompt": "p"}\n\n{"id": "b"}', "line 3: prompt"),
        (b'{"id": "a", "prompt": "p"}\n{"id": "a", "prompt": "p"}', "ids occur twice: a"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1, 2]", "line 1"),
        (b"[" * 200_000, "line 1"),
        (
            b'{"id": "a", "prompt": "p", "kind": "code", "entry_point": "f()", "tests": []}',
            "line 1: check.code",
        ),
        (b'{"id": "a", "prompt": "p", "kind": "magic"}', "line 1: check"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(data, complaint):
    with pytest.raises(BenchmarkUnusable, match=complaint):
        read(data)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        load(tmp_path / "none.jsonl")
    with pytest.raises(NotFound):
        shipped("nowhere")
