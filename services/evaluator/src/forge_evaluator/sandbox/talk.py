"""What is said to a task, by the kind of job, and how its untrusted replies are read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from forge_evaluator.sandbox.inside import frames
from forge_evaluator.sandbox.launch import sql_source
from forge_evaluator.sandbox.model import (
    Answer,
    End,
    Execution,
    Job,
    Language,
    Reply,
    ShellExecution,
    ShellJob,
    ShellReply,
    ShellRun,
    SqlJob,
    Tagged,
)
from forge_evaluator.sandbox.seccomp import Profile
from forge_evaluator.sandbox.worker import Ending, Worker


def run(worker: Worker, job: Job) -> Execution:
    """Raises SandboxLost when the sandbox, not the task, broke down."""
    line = worker.begin(Profile.PYTHON if job.language is Language.PYTHON else Profile.NODE)
    replies: list[Reply] = []

    def talk() -> None:
        for told in line.ask_ahead(_questions(job)):
            replies.append(read(told))
            if replies[0].kind is not Answer.VALUE:
                break  # the module itself failed

    with line:
        line.hold(talk)
    ending = worker.conclude(line)
    loaded = replies[0] if replies else None
    return Execution(
        loaded,
        tuple(replies[1:]),
        ending.end,
        ending.cpu_s,
        ending.wall_s,
        ending.memory_bytes,
        ending.detail,
    )


def _questions(job: Job) -> Iterator[dict[str, Any]]:
    if job.language is Language.PYTHON:
        yield {"code": job.code}
    else:
        yield {"code": job.code, "language": job.language.value, "entry": job.entry_point}
    for arguments in job.arguments:
        args = list(arguments) if job.language is Language.PYTHON else _for_node(list(arguments))
        yield {"call": job.entry_point, "args": args}


def _for_node(value: Tagged) -> Tagged:
    """JSON proper has no word for what is no finite number; Python's reader and writer do."""
    if isinstance(value, list):
        return [_for_node(item) for item in value]
    if isinstance(value, dict):
        return {key: _for_node(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value


def run_sql(worker: Worker, job: SqlJob) -> Execution:
    """As a Python job of ours that takes SQL for its argument."""
    arguments = tuple((job.setup, case.data, job.script, case.probe) for case in job.cases)
    return run(worker, Job(sql_source(), "run", arguments))


def run_shell(worker: Worker, job: ShellJob) -> ShellExecution:
    replies: list[ShellReply] = []
    cpu_s = wall_s = 0.0
    memory_bytes, ending = 0, Ending(End.FINISHED, 0, 0, 0)
    for case in job.cases:
        reply, ending = _run_case(worker, job.script, case)
        cpu_s, wall_s = cpu_s + ending.cpu_s, wall_s + ending.wall_s
        memory_bytes = max(memory_bytes, ending.memory_bytes)
        if reply is None:
            break
        replies.append(reply)
    return ShellExecution(tuple(replies), ending.end, cpu_s, wall_s, memory_bytes, ending.detail)


def _run_case(worker: Worker, script: str, case: ShellRun) -> tuple[ShellReply | None, Ending]:
    line = worker.begin(Profile.SHELL)
    asked = {"script": script, "args": list(case.args), "stdin": case.stdin, "files": case.files}
    replies: list[ShellReply] = []
    with line:
        line.hold(lambda: replies.append(_shell_reply(line.ask(asked))))
    ending = worker.conclude(line)
    return (replies[0] if ending.end is End.FINISHED else None), ending


_SHELL_TYPES = {
    "exit_status": int,
    "stdout": str,
    "stderr": str,
    "files": dict,
    "is_stdout_truncated": bool,
    "are_files_truncated": bool,
}


def _shell_reply(told: dict[str, Any]) -> ShellReply:
    value = told.get("value")
    if not isinstance(value, dict):
        raise frames.Malformed(clean(f"the script left what cannot be told: {told.get('unsendable')}"))
    if any(not isinstance(value.get(name), kind) for name, kind in _SHELL_TYPES.items()):
        raise frames.Malformed("a shell's reply of another form")
    if any(not isinstance(text, str) for text in value["files"].values()):
        raise frames.Malformed("a file that is no text")
    return ShellReply(**{name: value[name] for name in _SHELL_TYPES})


def read(told: dict[str, Any]) -> Reply:
    """One untrusted reply. Raises frames.Malformed."""
    if "value" in told:
        return Reply(Answer.VALUE, told["value"])
    if "unsendable" in told:
        return Reply(Answer.UNSENDABLE, text=clean(f"{told['unsendable']}"))
    if "raised" in told:
        line = told.get("line")
        text = clean(f"{told['raised']}: {told.get('message', '')}")
        return Reply(Answer.RAISED, text=text, line=line if isinstance(line, int) else None)
    raise frames.Malformed("a reply of no known kind")


def clean(text: str) -> str:
    """Short, and without the lone surrogates that no file takes."""
    return text[:500].encode("utf-8", "replace").decode("utf-8")
