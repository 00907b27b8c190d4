"""When memory runs out: fewer tokens at once, then shorter rows, then the truth about what would fit. And the run's budget."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from forge_common.errors import ForgeError

T = TypeVar("T")

# Shorter conversations teach too little to be worth a training.
SHORTEST_ROW = 128
# Of torch's CPU allocator, and of weights that cannot be mapped.
_SIGNS = ("DefaultCPUAllocator", "Cannot allocate memory")


class OutOfMemory(ForgeError):
    """Not even short rows, one at a time, fit into memory."""


class RowsTooLong(ForgeError):
    """A single row does not fit into memory; `longest` is its length in tokens."""

    def __init__(self, longest: int) -> None:
        super().__init__(f"a row of {longest} tokens does not fit into memory")
        self.longest = longest


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA says so by a class of its own, torch's CPU allocator only in words."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
    )


class Room:
    """How many tokens go through the model at once: halved each time memory runs out, never raised again.

    Gradients are sums over rows, so a batch in smaller pieces is the same step.
    """

    def __init__(self, max_tokens: int, say: Callable[[str], None]) -> None:
        self.max_tokens, self._say = max_tokens, say

    def fit(self, longest: int, work: Callable[[int], T], undo: Callable[[], None]) -> T:
        """`work` with as many tokens as fit; `undo` removes what a failed try left. Raises RowsTooLong."""
        while True:
            try:
                return work(self.max_tokens)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler, which keeps the failed pass and all of its tensors alive.
            undo()
            release()
            if self.max_tokens <= longest:
                raise RowsTooLong(longest)
            self.max_tokens = max(longest, self.max_tokens // 2)
            self._say(f"memory ran out: {self.max_tokens} tokens at once from here on")


def load(work: Callable[[], T], name: str) -> T:
    """Load a model. Raises OutOfMemory when the base alone is too large."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"{name} does not fit into memory",
            fix="train with method qlora, which needs a quarter of it, choose a smaller base model, "
            "or raise training.max_memory_gb",
        ) from error


def release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def shorter(longest: int, limit: int) -> int:
    """The next row length to try, below both. Raises OutOfMemory when it would be too short."""
    following = min(longest, limit) // 2
    if following < SHORTEST_ROW:
        raise OutOfMemory(
            f"memory ran out even for a single row of {min(longest, limit)} tokens",
            fix="train with method qlora, fewer num_layers or a smaller base model, or on a card with more memory; "
            "what else uses the card (a served model does) can be ended meanwhile",
        )
    return following


def limit_memory(gigabytes: float | None, device: str) -> None:
    """Hold this process to the run's budget. What goes beyond it fails as memory that ran out."""
    if gigabytes is None:
        return
    size = int(gigabytes * 2**30)
    if device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, size / total))
    elif sys.platform == "linux":  # macOS does not enforce it
        resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))
