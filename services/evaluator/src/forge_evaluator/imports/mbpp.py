"""MBPP's records, whole and sanitized: a sentence, a program and asserts. All asserts of `test_list` are shown, as its paper does."""

from __future__ import annotations

from forge_evaluator.benchmarks import HarnessCheck, Task
from forge_evaluator.imports import programs
from forge_evaluator.imports.records import Fields, Unreadable, label, text, texts
from forge_evaluator.syntax.python import module_of as parse


def task(fields: Fields, line: int) -> Task:
    """The challenge tests, which are not shown, count as well."""
    code = text(fields, "code").replace("\r\n", "\n")
    shown = texts(fields, "test_list")
    if not shown:
        raise Unreadable("test_list is empty")
    setup = [*texts(fields, "test_imports"), *(_optional(fields, "test_setup_code"))]
    tests = "\n".join([*setup, *shown, *texts(fields, "challenge_test_list")])
    entry_point = _entry_point(code, tests)
    question = text(fields, "text", "prompt").strip()
    return Task(
        id=f"MBPP/{label(fields, 'task_id') or line}",
        category="mbpp",
        group="coding",
        prompt=f"{question} Answer with Python code in one code block. It should pass these tests:\n\n"
        + programs.fenced("\n".join(shown)),
        gold_answer=programs.fenced(code),
        check=HarnessCheck(entry_point=entry_point, tests=tests),
    )


def _entry_point(code: str, tests: str) -> str:
    """The function that the tests call: MBPP names none. Raises Unreadable."""
    tree = parse(code)
    if tree is None:
        raise Unreadable("code is no Python")
    found = programs.called(tests, set(programs.functions(tree)))
    if found is None:
        raise Unreadable("the tests call no function that the code defines")
    return found


def _optional(fields: Fields, name: str) -> list[str]:
    value = fields.get(name)
    return [value] if isinstance(value, str) and value.strip() else []
