"""Runs a program against a task's cases, in the sandbox, and compares out here. One function for each kind of check.

Nothing that runs is told what is expected. Raises SandboxLost or LanguageRefused when nothing can be said of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import (
    CodeCheck,
    HarnessCheck,
    ShellCase,
    ShellCheck,
    SnippetCheck,
    SqlCase,
    SqlCheck,
)
from forge_evaluator.sandbox import (
    Answer,
    End,
    Execution,
    HarnessExecution,
    HarnessJob,
    Job,
    Language,
    Reply,
    ShellExecution,
    ShellJob,
    ShellReply,
    ShellRun,
    SqlJob,
    SqlRun,
    Tagged,
)
from forge_evaluator.scorers.compare import equal, same_number, same_rows

_MAX_EVIDENCE = 3
_MAX_SHOWN = 200
_ENDS = {
    End.CPU: Outcome.TIMEOUT,
    End.WALL: Outcome.TIMEOUT,
    End.KILLED: Outcome.OOM,
    End.DIED: Outcome.DIED,
    End.GARBLED: Outcome.ERROR,
}
# The seed's tests print. Only what the test prints is taken: an answer may print examples of its own.
_PRINTED = {
    Language.PYTHON: """
def printed(code, test):
    import contextlib, io
    names = {"__name__": "answer"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "<answer>", "exec", dont_inherit=True), names)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(test, "<test>", "exec", dont_inherit=True), names)
    return out.getvalue()
""",
    Language.JAVASCRIPT: """
function printed(code, test) {
  const lines = [];
  const shown = (item) => typeof item === 'string' ? item : JSON.stringify(item) ?? String(item);
  const quiet = { log() {}, error() {}, warn() {}, info() {}, debug() {} };
  const loud = { ...quiet, log: (...items) => { lines.push(items.map(shown).join(' ')); } };
  const speaker = { on: quiet };
  const console = new Proxy({}, { get: (_, name) => speaker.on[name] });
  new Function('console', 'speaker', 'loud', `${code}\n;speaker.on = loud;\n${test}`)(console, speaker, loud);
  return lines.join('\\n');
}
""",
}


class Runs(Protocol):
    """A sandbox, or several, or a cache before them. What comes back is the execution that belongs to the kind of job."""

    def run(self, job: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """`failure`: what went wrong first; only meant when something did. `fits`: it could be called as the task asks."""

    passed: int
    cases: int
    failure: Outcome
    evidence: tuple[str, ...] = ()
    detail: str = ""
    cpu_s: float = 0.0
    is_weak: bool = False
    fits: bool = True

    @property
    def share(self) -> float:
        return self.passed / self.cases


def try_code(check: CodeCheck, code: str, sandbox: Runs) -> Trial:
    job = Job(code, check.entry_point, tuple(case.args for case in check.tests), check.language)
    shown = [f"{check.entry_point}({_short(list(case.args))[1:-1]})" for case in check.tests]
    same = equal if check.language is Language.PYTHON else same_number
    return _calls(sandbox.run(job), shown, [case.expected for case in check.tests], same)


def try_snippets(check: SnippetCheck, code: str, sandbox: Runs) -> Trial:
    tests = tuple((code, test.code) for test in check.tests)
    job = Job(_PRINTED[check.language], "printed", tests, check.language)
    shown = [_short(test.code) for test in check.tests]
    return _calls(sandbox.run(job), shown, [test.expected for test in check.tests], _same_lines, is_weak=True)


def try_sql(check: SqlCheck, code: str, sandbox: Runs) -> Trial:
    execution: Execution = sandbox.run(
        SqlJob(check.setup, code, tuple(SqlRun(c.data, c.probe) for c in check.tests))
    )
    replies = [_judge_rows(case, reply) for case, reply in zip(check.tests, execution.replies, strict=False)]
    evidence = [
        f"case {number}: expected {_short(_listed(case))}, got {_told(reply)}"
        for number, (case, reply, fine) in enumerate(
            zip(check.tests, execution.replies, replies, strict=False), 1
        )
        if not fine
    ]
    return Trial(
        passed=sum(replies),
        cases=len(check.tests),
        failure=_failure(execution, replies),
        evidence=tuple(evidence[:_MAX_EVIDENCE]),
        detail=execution.detail,
        cpu_s=execution.cpu_s,
        fits=any(reply.kind is not Answer.RAISED for reply in execution.replies),
    )


def try_shell(check: ShellCheck, code: str, sandbox: Runs) -> Trial:
    job = ShellJob(code, tuple(ShellRun(c.args, c.stdin, dict(c.files)) for c in check.tests))
    execution: ShellExecution = sandbox.run(job)
    faults = [_fault(case, reply) for case, reply in zip(check.tests, execution.replies, strict=False)]
    ended = execution.end is not End.FINISHED
    return Trial(
        passed=faults.count(None),
        cases=len(check.tests),
        failure=_ENDS[execution.end] if ended else Outcome.WRONG,
        evidence=tuple(
            islice((f"case {n}: {fault}" for n, fault in enumerate(faults, 1) if fault), _MAX_EVIDENCE)
        ),
        detail=execution.detail,
        cpu_s=execution.cpu_s,
        # Any command runs: that this one reads what it is given is seen only when a case holds.
        fits=None in faults,
    )


def try_harness(check: HarnessCheck, code: str, sandbox: Runs) -> Trial:
    ran: HarnessExecution = sandbox.run(HarnessJob(code, check.entry_point, check.tests, check.preamble))
    where = f" (line {ran.line} of the {ran.side.value})" if ran.line and ran.side else ""
    return Trial(
        passed=int(ran.has_passed),
        cases=1,
        failure=_harness_failure(ran),
        evidence=() if ran.has_passed else (f"{ran.text}{where}",),
        detail=ran.detail,
        cpu_s=ran.cpu_s,
        is_weak=ran.is_weak,
    )


def _harness_failure(ran: HarnessExecution) -> Outcome:
    if ran.end is not End.FINISHED:
        return _ENDS[ran.end]
    if ran.text.startswith("MemoryError"):
        return Outcome.OOM
    return Outcome.WRONG if ran.text.startswith("AssertionError") else Outcome.ERROR


def _calls(
    execution: Execution,
    shown: Sequence[str],
    expected: Sequence[Tagged],
    fits: Callable[[Tagged, Tagged], bool],
    *,
    is_weak: bool = False,
) -> Trial:
    replies = list(zip(shown, expected, execution.replies, strict=False))
    fine = [reply.kind is Answer.VALUE and fits(wanted, reply.value) for _, wanted, reply in replies]
    wrong = [trio for trio, is_fine in zip(replies, fine, strict=True) if not is_fine]
    told = (f"{call}: expected {_short(wanted)}, got {_told(reply)}" for call, wanted, reply in wrong)
    return Trial(
        passed=sum(fine),
        cases=len(expected),
        failure=_failure(execution, fine),
        evidence=(*_loading(execution), *islice(told, _MAX_EVIDENCE)),
        detail=execution.detail,
        cpu_s=execution.cpu_s,
        is_weak=is_weak,
    )


def _failure(execution: Execution, fine: Sequence[bool]) -> Outcome:
    if execution.end is not End.FINISHED:
        return _ENDS[execution.end]
    replies = [execution.loaded, *execution.replies]
    if any(reply is not None and reply.is_out_of_memory for reply in replies):
        return Outcome.OOM
    first = next(
        (r for r, is_fine in zip(execution.replies, fine, strict=False) if not is_fine), execution.loaded
    )
    return Outcome.ERROR if first is None or first.kind is Answer.RAISED else Outcome.WRONG


def _loading(execution: Execution) -> Iterator[str]:
    loaded = execution.loaded
    if loaded is not None and loaded.kind is not Answer.VALUE:
        yield f"the module itself raised {_told(loaded)}"


def _judge_rows(case: SqlCase, reply: Reply) -> bool:
    return reply.kind is Answer.VALUE and same_rows(_listed(case), reply.value, ordered=case.ordered)


def _listed(case: SqlCase) -> list[Tagged]:
    return [list(row) for row in case.expected]


def _fault(case: ShellCase, reply: ShellReply) -> str | None:
    """What differs; None when nothing does."""
    if case.exit_status is not None and reply.exit_status != case.exit_status:
        said = f": {_short(reply.stderr.strip())}" if reply.stderr.strip() else ""
        return f"expected exit status {case.exit_status}, got {reply.exit_status}{said}"
    if case.stdout is not None and (reply.is_stdout_truncated or not _same_lines(case.stdout, reply.stdout)):
        return f"expected {_short(case.stdout)}, got {_short(reply.stdout)}"
    for path, content in case.expected_files.items():
        found = reply.files.get(path)
        if content is None and found is not None:
            return f"{path} should not be there"
        if content is not None and (found is None or not _same_lines(content, found)):
            return f"{path}: expected {_short(content)}, got {_short(found)}"
    return None


def _same_lines(expected: Tagged, actual: Tagged) -> bool:
    """Spaces at the ends of lines and empty lines at the end do not count."""
    if not isinstance(expected, str) or not isinstance(actual, str):
        return False
    return _trimmed(expected) == _trimmed(actual)


def _trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _told(reply: Reply) -> str:
    line = f" (line {reply.line})" if reply.line else ""
    return _short(reply.value) if reply.kind is Answer.VALUE else reply.text + line


def _short(value: Tagged) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
