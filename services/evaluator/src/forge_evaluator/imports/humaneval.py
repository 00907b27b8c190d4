"""HumanEval's records: a stub to complete, a canonical solution, and a test that defines `check(candidate)`."""

from __future__ import annotations

from dataclasses import dataclass

from forge_evaluator.benchmarks import HarnessCheck, Task
from forge_evaluator.imports import programs
from forge_evaluator.imports.records import Fields, Unreadable, text
from forge_evaluator.syntax.python import defines
from forge_evaluator.syntax.python import module_of as parse

_ASK = "Complete this Python function. Answer with the whole function in one code block."


def task(fields: Fields, line: int) -> Task:
    prompt, solution = text(fields, "prompt"), text(fields, "canonical_solution")
    entry_point = programs.entry_point_of(text(fields, "entry_point"))
    code = prompt + solution
    tests = text(fields, "test")
    tree = parse(tests)
    if tree is None or not defines(tree, "check"):
        raise Unreadable("test does not define check(candidate)")
    name = str(fields.get("task_id") or f"humaneval/{line}")
    return stub_task(Stub(name, "humaneval", prompt, code), entry_point, tests)


@dataclass(frozen=True, slots=True)
class Stub:
    """`prompt` is the beginning of a program, `code` the whole of it."""

    id: str
    category: str
    prompt: str
    code: str


def stub_task(stub: Stub, entry_point: str, tests: str) -> Task:
    """Raises Unreadable."""
    code = stub.code
    tree = programs.module(code, entry_point, "the prompt with its canonical_solution")
    return Task(
        id=stub.id,
        category=stub.category,
        group="coding",
        prompt=f"{_ASK}\n\n{programs.fenced(stub.prompt)}",
        gold_answer=programs.fenced(code),
        check=HarnessCheck(
            entry_point=entry_point, tests=tests, preamble=programs.before(code, tree, entry_point)
        ),
    )
