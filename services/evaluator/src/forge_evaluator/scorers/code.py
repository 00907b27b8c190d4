"""Code: extracted, run in the sandbox, compared out here, case by case. The gates come before the sum.

No code: nothing counts. No case passed: likeness to the gold answer counts a quarter at most. Some cases passed: half of
correctness at most.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import Case, CodeCheck, Task
from forge_evaluator.extract import Extraction, defines, extract, parse
from forge_evaluator.sandbox import Answer, End, Execution, Job, Reply, Tagged
from forge_evaluator.scorers.compare import equal
from forge_evaluator.scorers.score import Answered, Parts, Score
from forge_evaluator.scorers.similarity import similarity

_PARSES, _SIGNATURE = 0.6, 0.4  # 15 and 10 of 25
_PARTLY_CORRECT = 0.5  # 20 of 40
_UNPROVEN_SIMILARITY = 0.25  # 5 of 20
_MAX_EVIDENCE = 3
_MAX_SHOWN = 200
_ENDS = {
    End.CPU: Outcome.TIMEOUT,
    End.WALL: Outcome.TIMEOUT,
    End.KILLED: Outcome.OOM,
    End.DIED: Outcome.DIED,
    End.GARBLED: Outcome.ERROR,
}


class Runs(Protocol):
    """A sandbox, or several."""

    def run(self, job: Job) -> Execution: ...


def score(task: Task, check: CodeCheck, answered: Answered, sandbox: Runs) -> Score:
    """Raises SandboxLost when the sandbox failed, which says nothing about the answer."""
    found = extract(answered.text, check.entry_point)
    if found.code is None:
        outcome = Outcome.TRUNCATED if _broke_off(found, answered) else Outcome.NO_CODE
        return _nothing(outcome, "no Python code was found in the answer")
    tree = parse(found.code)
    if tree is None:
        outcome = Outcome.TRUNCATED if _broke_off(found, answered) else Outcome.ERROR
        return _nothing(outcome, "the code does not parse", found.code)
    job = Job(found.code, check.entry_point, tuple(case.args for case in check.tests))
    return _judge(task, check, found, tree, sandbox.run(job))


def _judge(task: Task, check: CodeCheck, found: Extraction, tree: ast.Module, execution: Execution) -> Score:
    assert found.code is not None
    passed = sum(_passes(case, reply) for case, reply in zip(check.tests, execution.replies, strict=False))
    share = passed / len(check.tests)
    parts = Parts(
        structure=_PARSES + _SIGNATURE * _has_signature(tree, check),
        correctness=1.0 if share == 1 else min(share, _PARTLY_CORRECT),
        similarity=_likeness(found.code, task, check, share),
        completeness=share,
    )
    return Score(
        points=None,
        outcome=Outcome.PASSED if share == 1 else _failure(check, execution, found),
        parts=parts,
        code=found.code,
        evidence=tuple(_evidence(check, execution)),
        explanation=f"{passed} of {len(check.tests)} cases passed" + _how(execution),
        cpu_s=execution.cpu_s,
    )


def _passes(case: Case, reply: Reply) -> bool:
    return reply.kind is Answer.VALUE and equal(case.expected, reply.value)


def _failure(check: CodeCheck, execution: Execution, found: Extraction) -> Outcome:
    """The first thing that went wrong; only called when something did."""
    if found.is_truncated:
        return Outcome.TRUNCATED
    if execution.end is not End.FINISHED:
        return _ENDS[execution.end]
    replies = [execution.loaded, *execution.replies]
    if any(reply is not None and reply.is_out_of_memory for reply in replies):
        return Outcome.OOM
    wrong = [
        reply for case, reply in zip(check.tests, execution.replies, strict=False) if not _passes(case, reply)
    ]
    first = wrong[0] if wrong else execution.loaded
    return Outcome.ERROR if first is None or first.kind is Answer.RAISED else Outcome.WRONG


def _has_signature(tree: ast.Module, check: CodeCheck) -> bool:
    """The entry point is there and takes as many arguments as the cases give."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == check.entry_point]
    if not functions:
        return defines(tree, check.entry_point)
    arguments = functions[-1].args
    most = len(arguments.posonlyargs) + len(arguments.args)
    least = most - len(arguments.defaults)
    counts = [len(case.args) for case in check.tests]
    return min(counts) >= least and (arguments.vararg is not None or max(counts) <= most)


def _likeness(code: str, task: Task, check: CodeCheck, share: float) -> float | None:
    gold = extract(task.gold_answer, check.entry_point).code if task.gold_answer else None
    if gold is None:
        return None
    likeness = similarity(code, gold)
    return min(likeness, _UNPROVEN_SIMILARITY) if likeness is not None and share == 0 else likeness


def _evidence(check: CodeCheck, execution: Execution) -> Iterator[str]:
    """The first cases that failed, for a person to read."""
    loaded = execution.loaded
    if loaded is not None and loaded.kind is not Answer.VALUE:
        yield f"the module itself raised {loaded.text}{_at(loaded)}"
    failing = (
        (case, reply)
        for case, reply in zip(check.tests, execution.replies, strict=False)
        if not _passes(case, reply)
    )
    for case, reply in islice(failing, _MAX_EVIDENCE):
        got = _short(reply.value) if reply.kind is Answer.VALUE else reply.text + _at(reply)
        yield f"{check.entry_point}({_short(list(case.args))[1:-1]}): expected {_short(case.expected)}, got {got}"


def _at(reply: Reply) -> str:
    return f" (line {reply.line})" if reply.line else ""


def _short(value: Tagged) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _how(execution: Execution) -> str:
    return f"; {execution.detail}" if execution.detail else ""


def _nothing(outcome: Outcome, explanation: str, code: str | None = None) -> Score:
    zero = Parts(structure=0.0, correctness=0.0, similarity=0.0, completeness=0.0)
    return Score(points=None, outcome=outcome, parts=zero, code=code, explanation=explanation)


def _broke_off(found: Extraction, answered: Answered) -> bool:
    return found.is_truncated or answered.finish_reason == "length"
