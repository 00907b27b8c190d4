"""How torch says that memory ran out, and the run's budget."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from forge_common.contracts.stages import Progress
from forge_common.weights import room
from forge_common.weights.checkpoint import model_config
from forge_common.weights.halvings import Halvings
from forge_common.weights.jobs import OF_NO_MATTER
from forge_common.weights.room import OutOfMemory
from forge_common.weights.training import Reports
from forge_trainer_cuda.footprint import Method, Shape, choose, gathered, is_divided, tokens_that_fit
from forge_trainer_cuda.jobs import TrainJob

T = TypeVar("T")

# Of what the card has: the rest is for what grows with rows of other lengths.
SHARE = 0.9

# Of torch's CPU allocator, and of weights that cannot be mapped.
_SIGNS = ("DefaultCPUAllocator", "Cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA says so by a class of its own, torch's CPU allocator only in words."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
    )


class Room(room.Room):
    """`weights.room` for torch."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        return is_out_of_memory(error)

    def release(self) -> None:
        release()


def make_room(max_tokens: int, job: TrainJob, folder: Path, report: Reports) -> Room:
    """With what was halved before a kill; `folder` has the stage's checkpoints."""
    halvings = Halvings(folder, job.fingerprint(*OF_NO_MATTER))
    return Room(max_tokens, lambda message: report.progress(Progress(message=message)), halvings)


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


def budget_bytes() -> int:
    """What this process may take of its card: what it has and what is free, within the run's limit."""
    free, total = torch.cuda.mem_get_info()
    limit = total * torch.cuda.get_per_process_memory_fraction()
    return int(SHARE * min(free + torch.cuda.memory_reserved(), limit))


def tokens_at_once(job: TrainJob) -> int:
    """On a card no more than fit beside the base, by arithmetic."""
    if job.device != "cuda":
        return job.max_tokens_at_once
    shape, method = _shape_and_method(job)
    free = budget_bytes() - torch.cuda.memory_allocated() - (gathered(shape) if job.sharded else 0)
    return min(job.max_tokens_at_once, tokens_that_fit(shape, method, job.rules.rank, free))


def must_divide(job: TrainJob) -> bool:
    """Whether the base goes onto the cards in shares. By the first card's whole memory: they are taken for alike."""
    if job.sharded is not None or job.device != "cuda" or job.rules.method != "lora":
        return bool(job.sharded)
    shape, method = _shape_and_method(job)
    return is_divided(shape, method, job.rules.rank, _limit_bytes(), job.cards)


def longest_pair(job: TrainJob) -> int | None:
    """The most tokens that both rows of a preference pair have together on this card; None where nobody can say.

    By the card's whole memory, not by what is free: a training that goes on leaves out the same pairs.
    """
    if job.device != "cuda":
        return None
    shape, method = _shape_and_method(job)
    cards = job.cards if job.sharded else 1
    choice = choose(shape, method, job.rules.rank, _limit_bytes(), cards=cards)
    return None if choice is None else choice.tokens


def _shape_and_method(job: TrainJob) -> tuple[Shape, Method]:
    return Shape.of(model_config(Path(job.base))), "qlora" if job.rules.method == "qlora" else "lora"


def _limit_bytes() -> int:
    total = torch.cuda.get_device_properties(0).total_memory
    return int(SHARE * total * torch.cuda.get_per_process_memory_fraction())
