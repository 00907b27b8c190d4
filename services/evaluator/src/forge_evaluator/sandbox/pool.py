"""Several sandbox workers, safe to use from threads. A job never decides by itself that its failure was ours."""

from __future__ import annotations

import queue
from types import TracebackType
from typing import Self

from forge_evaluator.sandbox.model import End, Execution, Job, Limits, SandboxLost
from forge_evaluator.sandbox.tier import Tier
from forge_evaluator.sandbox.worker import Worker

_RECYCLE_AFTER = 500
_CANARY = Job("def canary(x):\n    return x + 1\n", "canary", ((41,),))


class Pool:
    """`run` blocks while all workers are busy. Workers start when first needed and are renewed every 500 tasks."""

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

    def run(self, job: Job) -> Execution:
        """Raises SandboxLost only when a harmless job fails in a fresh sandbox too."""
        slot = self._idle.get()
        try:
            for _ in range(2):
                try:
                    return self._worker(slot).run(job)
                except SandboxLost as error:
                    slot.drop()
                    detail = error.message
                    self._check(slot)
            return Execution(None, (), End.DIED, detail=f"took its sandbox down twice: {detail}")
        finally:
            self._idle.put(slot)

    def _worker(self, slot: _Slot) -> Worker:
        if slot.tasks >= _RECYCLE_AFTER:
            slot.drop()
        slot.tasks += 1
        slot.worker = slot.worker or Worker(self.tier.launch, self._limits)
        return slot.worker

    def _check(self, slot: _Slot) -> None:
        try:
            execution = self._worker(slot).run(_CANARY)
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
        self.tasks = 0

    def drop(self) -> None:
        if self.worker is not None:
            self.worker.close()
        self.worker, self.tasks = None, 0
