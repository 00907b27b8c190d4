"""Several sandbox workers, safe to use from threads. A job never decides by itself that its failure was ours."""

from __future__ import annotations

import queue
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar, overload

from forge_evaluator.sandbox import harness, talk
from forge_evaluator.sandbox.model import (
    End,
    Execution,
    HarnessExecution,
    HarnessJob,
    Job,
    Language,
    LanguageRefused,
    Limits,
    SandboxLost,
    ShellExecution,
    ShellJob,
    Side,
    SqlJob,
)
from forge_evaluator.sandbox.tier import Tier
from forge_evaluator.sandbox.worker import Worker

_RECYCLE_AFTER = 500
_CANARY = Job("def canary(x):\n    return x + 1\n", "canary", ((41,),))

Done = TypeVar("Done")


class Pool:
    """Every `run…` blocks while all workers are busy. Workers start when first needed and are renewed every 500 jobs.

    Each raises SandboxLost only when a harmless job fails in a fresh sandbox too, and LanguageRefused where this machine's
    walls do not hold for the language.
    """

    def __init__(self, tier: Tier, *, workers: int = 2, limits: Limits | None = None) -> None:
        self.tier = tier
        self._limits = limits or Limits()
        self._idle: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._slots = [_Slot() for _ in range(workers)]
        for slot in self._slots:
            self._idle.put(slot)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def run(self, job: Job | SqlJob) -> Execution: ...
    @overload
    def run(self, job: ShellJob) -> ShellExecution: ...
    @overload
    def run(self, job: HarnessJob) -> HarnessExecution: ...
    def run(self, job: Job | SqlJob | ShellJob | HarnessJob) -> Execution | ShellExecution | HarnessExecution:
        """Whatever kind of job it is: the one door for those who stand before the pool, a cache say."""
        match job:
            case SqlJob():
                return self.run_sql(job)
            case ShellJob():
                return self.run_shell(job)
            case HarnessJob():
                return self.run_harness(job)
            case Job():
                return self.run_code(job)

    def run_code(self, job: Job) -> Execution:
        if job.language is not Language.PYTHON:
            self._require(self.tier.node, job.language.value)
        done, detail = self._attempt(lambda slot: talk.run(self._worker(slot), job))
        return done or Execution(None, (), End.DIED, detail=detail)

    def run_sql(self, job: SqlJob) -> Execution:
        self._require(self.tier.sqlite, "SQL")
        done, detail = self._attempt(lambda slot: talk.run_sql(self._worker(slot), job))
        return done or Execution(None, (), End.DIED, detail=detail)

    def run_shell(self, job: ShellJob) -> ShellExecution:
        self._require(self.tier.bash, "shell")
        done, detail = self._attempt(lambda slot: talk.run_shell(self._worker(slot), job))
        return done or ShellExecution((), End.DIED, detail=detail)

    def run_harness(self, job: HarnessJob) -> HarnessExecution:
        def act(slot: _Slot) -> HarnessExecution:
            return harness.run(self._worker(slot), self._companion(slot), job)

        done, detail = self._attempt(act)
        return done or HarnessExecution(False, End.DIED, Side.CANDIDATE, detail=detail)

    def _require(self, version: str, language: str) -> None:
        if not version:
            raise LanguageRefused(
                f"{language} is not run in this sandbox ({self.tier.description})",
                fix="run `python -m forge_evaluator sandbox` to see which walls hold; "
                "namespaces (bubblewrap) hold for every language",
            )

    def _attempt(self, act: Callable[[_Slot], Done]) -> tuple[Done | None, str]:
        """None: it took two sandboxes down in which a harmless job worked."""
        slot = self._idle.get()
        try:
            for _ in range(2):
                try:
                    return act(slot), ""
                except SandboxLost as error:
                    slot.drop()
                    detail = error.message
                    self._check(slot)
            return None, f"took its sandbox down twice: {detail}"
        finally:
            self._idle.put(slot)

    def _worker(self, slot: _Slot) -> Worker:
        if slot.tasks >= _RECYCLE_AFTER:
            slot.drop()
        slot.tasks += 1
        slot.worker = slot.worker or Worker(self.tier.launch, self._limits)
        return slot.worker

    def _companion(self, slot: _Slot) -> Worker:
        """The tests' sandbox, beside the candidate's; each slot has its own, so that none waits for another's."""
        slot.companion = slot.companion or Worker(self.tier.launch, self._limits)
        return slot.companion

    def _check(self, slot: _Slot) -> None:
        try:
            execution = talk.run(self._worker(slot), _CANARY)
        except SandboxLost:
            slot.drop()
            raise
        if [reply.value for reply in execution.replies] != [42]:
            slot.drop()
            raise SandboxLost("a fresh sandbox fails its canary")

    def close(self) -> None:
        for slot in self._slots:
            slot.drop()


class _Slot:
    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.companion: Worker | None = None
        self.tasks = 0

    def drop(self) -> None:
        for worker in (self.worker, self.companion):
            if worker is not None:
                worker.close()
        self.worker, self.companion, self.tasks = None, None, 0
