"""Tests that are code, in a sandbox of their own: they call the candidate in another one, through the judge in between.

The candidate sees arguments and never a test. Where arguments are no plain data both run in one process, which is told: such
a verdict is weak.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from forge_evaluator.sandbox.inside import frames
from forge_evaluator.sandbox.model import Answer, End, HarnessExecution, HarnessJob, Reply, Side
from forge_evaluator.sandbox.seccomp import Profile
from forge_evaluator.sandbox.talk import read
from forge_evaluator.sandbox.worker import Ending, Line, Worker

_PREAMBLE, _TESTS = "<preamble>", "<tests>"


def run(candidates: Worker, testers: Worker, job: HarnessJob) -> HarnessExecution:
    """Raises SandboxLost when a sandbox, not a task, broke down."""
    return _apart(candidates, testers, job) or _together(candidates, job)


def _apart(candidates: Worker, testers: Worker, job: HarnessJob) -> HarnessExecution | None:
    """None: what they exchange cannot be sent."""
    candidate = _Side(candidates.begin(Profile.PYTHON))
    with candidate.line:
        if not candidate.load(job):
            tests = None
        else:
            tests = _Tests(testers.begin(Profile.PYTHON), candidate)
            with tests.line:
                tests.line.hold(lambda: tests.play(job))
    ended = candidates.conclude(candidate.line)
    if tests is None:
        return candidate.failure(ended)
    judged = testers.conclude(tests.line)
    if not candidate.line.is_complete:
        return _execution(ended, Side.CANDIDATE, other=judged)
    if tests.verdict is None:
        return _execution(judged, Side.TESTS, other=ended)
    if tests.needs_company:
        return None
    return _execution(judged, tests.by, tests.verdict, other=ended)


class _Side:
    """One process of the harness, as far as it came."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.faulty: tuple[Side, Reply] | None = None

    def load(self, job: HarnessJob) -> bool:
        self.line.hold(lambda: self._load(job))
        return self.line.is_complete and self.faulty is None

    def _load(self, job: HarnessJob) -> None:
        for code, file, side in (
            (job.preamble, _PREAMBLE, Side.TESTS),
            (job.code, "<answer>", Side.CANDIDATE),
        ):
            reply = read(self.line.ask({"code": code, "file": file})) if code else None
            if reply is not None and reply.kind is not Answer.VALUE:
                self.faulty = side, reply
                return

    def failure(self, ended: Ending) -> HarnessExecution:
        """Why it did not load."""
        if self.faulty is None:
            return _execution(ended, Side.CANDIDATE)
        return _execution(ended, *self.faulty)


class _Tests:
    """The process of the tests, which asks for the candidate's answers in between."""

    def __init__(self, line: Line, candidate: _Side) -> None:
        self.line = line
        self._candidate = candidate.line
        self.verdict: Reply | None = None
        self.by = Side.TESTS

    @property
    def needs_company(self) -> bool:
        """A name that the tests lack may be one that the candidate defines beside its entry point."""
        assert self.verdict is not None
        is_nameless = self.by is Side.TESTS and self.verdict.text.startswith("NameError")
        return self.verdict.kind is Answer.UNSENDABLE or is_nameless

    def play(self, job: HarnessJob) -> None:
        if job.preamble:
            reply = read(self.line.ask({"code": job.preamble, "file": _PREAMBLE}))
            if reply.kind is not Answer.VALUE:
                self.verdict = reply
                return
        told = self.line.ask({"tests": job.tests, "entry": job.entry_point})
        while "ask" in told:
            told = self.line.ask(self._call(job.entry_point, told))
        self.verdict = read(told)
        self.by = Side.CANDIDATE if told.get("by") == "candidate" else Side.TESTS

    def _call(self, entry_point: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Raises frames.Closed when the candidate is gone."""
        told: dict[str, Any] = {}
        call = {"call": entry_point, "args": asked["ask"], "keywords": asked.get("keywords", {})}
        self._candidate.hold(lambda: told.update(self._candidate.ask(call)))
        if not self._candidate.is_complete:
            raise frames.Closed
        reply = read(told)
        if reply.kind is Answer.UNSENDABLE:
            return {"unsendable": reply.text}
        if reply.kind is Answer.RAISED:
            name, _, text = reply.text.partition(": ")
            return {"raised": name, "message": text, "line": reply.line}
        return {"value": reply.value, "args": told.get("args")}


def _together(candidates: Worker, job: HarnessJob) -> HarnessExecution:
    both = _Side(candidates.begin(Profile.PYTHON))
    nonce = secrets.token_hex(16)
    told: dict[str, Any] = {}
    asked = {"together": job.tests, "entry": job.entry_point, "nonce": nonce}
    with both.line:
        if both.load(job):
            both.line.hold(lambda: told.update(both.line.ask(asked)))
    ended = candidates.conclude(both.line)
    if both.faulty is not None or not told:
        return _weak(both.failure(ended))
    reply = read(told)
    if reply.kind is Answer.VALUE and reply.value != nonce:
        reply = Reply(Answer.RAISED, text="the verdict does not carry the judge's word")
    return _weak(_execution(ended, Side.TESTS if told.get("file") == _TESTS else Side.CANDIDATE, reply))


def _execution(
    ended: Ending, side: Side, verdict: Reply | None = None, *, other: Ending | None = None
) -> HarnessExecution:
    """`ended` is how the process that decided ended; `other` the one that only took part."""
    has_passed = verdict is not None and verdict.kind is Answer.VALUE and ended.end is End.FINISHED
    return HarnessExecution(
        has_passed,
        ended.end,
        None if has_passed else side,
        "" if verdict is None else verdict.text,
        None if verdict is None else verdict.line,
        cpu_s=ended.cpu_s + (other.cpu_s if other else 0),
        wall_s=max(ended.wall_s, other.wall_s if other else 0),
        memory_bytes=max(ended.memory_bytes, other.memory_bytes if other else 0),
        detail=ended.detail,
    )


def _weak(execution: HarnessExecution) -> HarnessExecution:
    return replace(execution, is_weak=True)
