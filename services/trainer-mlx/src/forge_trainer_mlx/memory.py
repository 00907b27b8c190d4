"""The memory that training may take on mlx. Measured beforehand: past its end Metal ends the process instead of raising.

What counts are mlx's own buffers, which on a Mac are the memory that the whole machine shares.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import mlx.core as mx

from forge_common.contracts.stages import Progress
from forge_common.weights import room
from forge_common.weights.halvings import Halvings
from forge_common.weights.jobs import OF_NO_MATTER
from forge_common.weights.room import FIRST
from forge_common.weights.training import Reports
from forge_trainer_mlx.jobs import TrainJob

T = TypeVar("T")

GIB = 2**30
# Of mlx's allocators, and of a command that Metal gave up in time to say so.
_SIGNS = ("allocate", "Insufficient Memory", "OutOfMemory", "bad_alloc", "Resource limit")


def is_out_of_memory(error: BaseException) -> bool:
    """Mlx has no class of its own for it, only words."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
    )


def budget_bytes(max_memory_gb: float | None) -> int:
    """The run's budget, and no more than what `prepare_device` left to this process."""
    limit = int(mx.get_memory_limit())
    return limit if max_memory_gb is None else min(limit, int(max_memory_gb * GIB))


class Room(room.Room):
    """`weights.room`, with a budget: what is worked on costs mlx no more than so many bytes at its peak."""

    def __init__(
        self, max_tokens: int, say: Callable[[str], None], budget: int, halvings: Halvings | None = None
    ) -> None:
        super().__init__(max_tokens, say, halvings)
        self.budget = budget
        self._peak = 0

    @property
    def peak_bytes(self) -> int:
        return max(self._peak, int(mx.get_peak_memory()))

    def measure(self, longest: int, work: Callable[[], None]) -> None:
        """Cut `max_tokens` to what fits by what `work` on one row of `longest` tokens costs. Raises RowsTooLong.

        Shorter rows cost less a token, so what fits of the longest fits of all.
        """
        self._forget_peak()
        resting = int(mx.get_active_memory())
        try:
            work()
        except (RuntimeError, MemoryError) as error:
            if not self.is_out_of_memory(error):
                raise
            raise room.RowsTooLong(longest) from None
        cost = int(mx.get_peak_memory()) - resting
        self.release()
        if resting + cost > self.budget:
            raise room.RowsTooLong(longest)
        while self.max_tokens > longest and resting + cost * self.max_tokens / longest > self.budget:
            self.halve(longest)

    def fit(self, longest: int, work: Callable[[int], T], undo: Callable[[], None]) -> T:
        """As `weights.room` says; what cost more than the budget is done, but not done again."""
        done = super().fit(longest, work, undo)
        if int(mx.get_peak_memory()) > self.budget and self.max_tokens > longest:
            self._forget_peak()
            # This was done with as many as before: fewer are only for what follows.
            self.moment += 1
            self.halve(longest)
        return done

    def is_out_of_memory(self, error: BaseException) -> bool:
        return is_out_of_memory(error)

    def release(self) -> None:
        release()

    def _forget_peak(self) -> None:
        self._peak = self.peak_bytes
        self.release()
        mx.reset_peak_memory()


def make_room(job: TrainJob, folder: Path, report: Reports) -> Room:
    """With what was halved before a kill; `folder` has the stage's checkpoints."""

    def say(message: str) -> None:
        report.progress(Progress(message=message))

    halvings = Halvings(folder, job.fingerprint(*OF_NO_MATTER))
    room = Room(job.max_tokens_at_once, say, budget_bytes(job.rules.max_memory_gb), halvings)
    room.at(FIRST)
    return room


def release() -> None:
    gc.collect()
    mx.clear_cache()


def load(work: Callable[[], T], name: str, budget: int) -> T:
    """Load a model. Raises OutOfMemory when the base alone is too large."""
    try:
        loaded = work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise _too_large(name) from error
    if int(mx.get_active_memory()) > budget:
        raise _too_large(name)
    return loaded


def _too_large(name: str) -> room.OutOfMemory:
    return room.OutOfMemory(
        f"{name} does not fit into memory",
        fix="train with method qlora, which needs a quarter of it, choose a smaller base model, "
        "or raise training.max_memory_gb",
    )
