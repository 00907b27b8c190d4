"""What ran once is not run again, unless anything about it differs or a machine may be to blame."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from forge_evaluator.executions import Executions, sandbox_version
from forge_evaluator.sandbox import (
    Answer,
    End,
    Execution,
    HarnessExecution,
    HarnessJob,
    Job,
    Limits,
    Reply,
    SandboxLost,
    ShellExecution,
    ShellJob,
    ShellReply,
    ShellRun,
    Side,
    SqlJob,
    SqlRun,
)

JOB = Job("def f(x): return x", "f", ((1,), ({"$tuple": [1, "ü\ud800"]},)))
FOUND = Execution(
    Reply(Answer.VALUE),
    (Reply(Answer.VALUE, {"$int": "0xff"}), Reply(Answer.RAISED, text="ValueError: ü", line=3)),
    End.FINISHED,
    cpu_s=0.01,
)


class Counting:
    """A sandbox that finds the same every time, and counts."""

    def __init__(self, found):
        self.found = found
        self.jobs = []

    def run(self, job):
        self.jobs.append(job)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def twice(folder, found, first, second, versions=("v", "v")):
    """How often the sandbox had to run, and what came back the second time."""
    sandbox = Counting(found)
    for version, job in zip(versions, (first, second), strict=True):
        last = Executions(sandbox, folder, version).run(job)
    return len(sandbox.jobs), last


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (JOB, FOUND),
        (SqlJob("create table t (a)", "select 1", (SqlRun("", "select 2"),)), FOUND),
        (
            ShellJob("echo $1", (ShellRun(("a",), "in", {"f": "text"}),)),
            ShellExecution((ShellReply(0, "a\n", "", {"g": "x"}),), End.FINISHED),
        ),
        (
            HarnessJob("def f(): ...", "f", "assert f() is None"),
            HarnessExecution(False, End.FINISHED, Side.TESTS, "AssertionError", 1, is_weak=True),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_job_runs_once_and_is_remembered_exactly(tmp_path, job, found):
    assert twice(tmp_path, found, job, job) == (1, found)


def test_values_that_json_lacks_are_remembered(tmp_path):
    found = replace(FOUND, replies=(Reply(Answer.VALUE, [math.inf, math.nan, 2**70]),))

    runs, last = twice(tmp_path, found, JOB, JOB)

    infinite, undefined, large = last.replies[0].value
    assert (runs, infinite, large) == (1, math.inf, 2**70)
    assert math.isnan(undefined)


@pytest.mark.parametrize(
    "other",
    [
        replace(JOB, code="def f(x): return 1"),
        replace(JOB, entry_point="g"),
        replace(JOB, arguments=((2,),)),
        replace(JOB, arguments=((1.0,), JOB.arguments[1])),
    ],
)
def test_another_code_or_another_call_is_run(tmp_path, other):
    assert twice(tmp_path, FOUND, JOB, other)[0] == 2


def test_another_sandbox_runs_it_again(tmp_path):
    assert twice(tmp_path, FOUND, JOB, JOB, versions=("v", "w"))[0] == 2


@pytest.mark.parametrize("end", sorted(set(End) - {End.FINISHED}))
def test_what_a_loaded_machine_may_have_caused_is_not_remembered(tmp_path, end):
    assert twice(tmp_path, replace(FOUND, end=end), JOB, JOB)[0] == 2


def test_a_lost_sandbox_is_not_remembered(tmp_path):
    sandbox = Counting(SandboxLost("gone"))
    executions = Executions(sandbox, tmp_path, "v")

    for _ in range(2):
        with pytest.raises(SandboxLost):
            executions.run(JOB)

    assert len(sandbox.jobs) == 2


def test_a_damaged_file_is_run_again(tmp_path):
    sandbox = Counting(FOUND)
    Executions(sandbox, tmp_path, "v").run(JOB)
    (file,) = tmp_path.glob("??/*.json")
    file.write_bytes(file.read_bytes()[:-9])

    assert Executions(sandbox, tmp_path, "v").run(JOB) == FOUND
    assert len(sandbox.jobs) == 2


def test_a_sandboxs_version_follows_its_walls_and_limits():
    versions = {
        sandbox_version("A: bubblewrap", Limits()),
        sandbox_version("B: Landlock", Limits()),
        sandbox_version("A: bubblewrap", Limits(cpu_s=9)),
    }

    assert len(versions) == 3
    assert sandbox_version("A: bubblewrap", Limits()) in versions
