"""Several cards of one machine on one training: every process works on its share of each batch.

Each has the whole base, or where no card holds it a share of every block (`sharded.py`). The first process decides
everything and has optimizer, checkpoints and reports. The others lend it sums: for each batch they are sent the adapter's
weights and which rows, and send back what they found and gradients. So resuming, early stopping and the budget are what
they are on one card, for SFT and for DPO.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import torch
import torch.distributed as dist
from peft import PeftModel

from forge_common.weights.batches import packs
from forge_common.weights.rows import TokenRow
from forge_trainer_cuda.jobs import Lending, Stage, TrainJob
from forge_trainer_cuda.memory import is_out_of_memory

# The others wait while the first one saves and loads.
PATIENCE = timedelta(hours=12)
# To start Python and load torch.
START = timedelta(minutes=10)
# How a further process ends when its memory ran out in the middle of what all do together.
OUT_OF_MEMORY = 77
# What ends the first one then: `worker.py` goes on from the checkpoint with less at once.
CANNOT_GO_ON = signal.SIGABRT


class Order(NamedTuple):
    """What all processes do next, each with its share of `rows`.

    `known` is what the first process knows of each of them: with pairs, what the reference says.
    """

    task: str
    rows: list[int]
    max_tokens: int
    known: tuple[float, ...] = ()


class Share(NamedTuple):
    """One process's part of an order. `total` are the targets of all parts.

    `passes` is how many every process has to make, with nothing in the last ones if need be, where the base is divided.
    """

    rows: list[int]
    max_tokens: int
    total: int
    passes: int = 0
    known: Mapping[int, float] = {}


@dataclass(frozen=True, slots=True)
class Task:
    """`work` does a share and returns `answers` numbers, which are the answer when those of all shares are added up: of a
    mean loss its part, of a row of its own what it found, and zero of everybody else's.

    `lengths` and `targets` are the rows' that an order may name.
    """

    work: Callable[[Share], Sequence[float]]
    lengths: Sequence[int]
    targets: Sequence[int]
    answers: int = 1
    has_gradients: bool = False

    def all_shares(self, order: Order, size: int) -> list[Share]:
        parts = shares(order.rows, self.lengths, size)
        passes = max(len(packs(part, self.lengths, order.max_tokens)) for part in parts)
        total = sum(self.targets[row] for row in order.rows)
        known = dict(zip(order.rows, order.known, strict=True)) if order.known else {}
        return [Share(part, order.max_tokens, total, passes, known) for part in parts]


class Alone:
    """A crew of one."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks

    def do(
        self, task: str, rows: Sequence[int], max_tokens: int, known: Sequence[float] = ()
    ) -> Sequence[float]:
        """The task's answers about the rows."""
        asked = self._tasks[task]
        (share,) = asked.all_shares(Order(task, list(rows), max_tokens, tuple(known)), 1)
        return asked.work(share)


class Crew:
    """What one process of a training knows of the others. Where the base is divided nobody works without all others."""

    def __init__(
        self, weights: Sequence[torch.nn.Parameter], tasks: Mapping[str, Task], *, is_sharded: bool
    ) -> None:
        self._weights, self._tasks, self._is_sharded = weights, tasks, is_sharded
        self._rank, self._size = dist.get_rank(), dist.get_world_size()

    def do(
        self, task: str, rows: Sequence[int], max_tokens: int, known: Sequence[float] = ()
    ) -> Sequence[float]:
        """The task's answers about the rows. Raises torch.OutOfMemoryError when any process runs out, unless the base is
        divided.
        """
        order = Order(task, list(rows), max_tokens, tuple(known))
        _tell(order)
        return self._work(order)

    def follow(self) -> None:
        """Do shares until the first process says that it is over."""
        while (order := _heard()) is not None:
            try:
                self._work(order)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
            self._forget()

    def _work(self, order: Order) -> Sequence[float]:
        self._share_weights()
        task = self._tasks[order.task]
        found: Sequence[float] = [0.0] * task.answers
        error = None
        try:
            found = task.work(task.all_shares(order, self._size)[self._rank])
        except (RuntimeError, MemoryError) as failed:
            if not is_out_of_memory(failed):
                raise
            if self._is_sharded:
                # The others wait for this one's part of a block, and cannot be told to stop.
                _end(self._rank, str(failed))
            error = str(failed)
        if error is not None:
            self._forget()
        told = torch.tensor([*found, float(error is not None)], dtype=torch.float64)
        dist.all_reduce(told)
        if told[-1] > 0:
            raise torch.OutOfMemoryError(error or "memory ran out on another card")
        if task.has_gradients:
            self._sum_gradients()
        return [float(answer) for answer in told[:-1]]

    def _share_weights(self) -> None:
        flat = torch.cat([weight.detach().reshape(-1) for weight in self._weights])
        dist.broadcast(flat, src=0)
        with torch.no_grad():
            for weight, part in zip(self._weights, self._split(flat), strict=True):
                weight.copy_(part)

    def _sum_gradients(self) -> None:
        found = [torch.zeros_like(each) if each.grad is None else each.grad for each in self._weights]
        flat = torch.cat([each.reshape(-1) for each in found])
        dist.reduce(flat, dst=0)
        if self._rank == 0:
            for weight, part in zip(self._weights, self._split(flat), strict=True):
                weight.grad = part.clone()

    def _split(self, flat: torch.Tensor) -> list[torch.Tensor]:
        parts = flat.split([weight.numel() for weight in self._weights])
        return [part.view_as(weight) for weight, part in zip(self._weights, parts, strict=True)]

    def _forget(self) -> None:
        for weight in self._weights:
            weight.grad = None


def crew(job: TrainJob, model: PeftModel, tasks: Mapping[str, Task]) -> Alone | Crew:
    """Who does the tasks with `model`."""
    if job.cards == 1:
        return Alone(tasks)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Crew(weights, tasks, is_sharded=bool(job.sharded))


def idle(rows: Sequence[TokenRow]) -> TokenRow:
    """What a process puts through the model while only the others have work: as little as can be, and nothing of it learned."""
    shortest = min(rows, key=lambda row: len(row.tokens))
    return replace(shortest, loss_mask=(False,) * len(shortest.tokens))


def shares(batch: Sequence[int], lengths: Sequence[int], n: int) -> list[list[int]]:
    """The batch's rows in `n` parts of about as many tokens: the longest first, each to who has least."""
    parts: list[list[int]] = [[] for _ in range(n)]
    tokens = [0] * n
    for row in sorted(batch, key=lambda row: (-lengths[row], row)):
        least = tokens.index(min(tokens))
        parts[least].append(row)
        tokens[least] += lengths[row]
    return parts


@contextmanager
def others(job: TrainJob, stage: Stage, longest_pair: int | None = None) -> Iterator[None]:
    """Start a process for every other card, and end them. They end with this one, however it ends.

    `longest_pair` is the first card's, so that all number the same pairs alike.
    """
    if job.cards == 1:
        yield
        return
    with ExitStack() as stack:
        port = _free_port()
        lent = [
            Lending(job=job, rank=rank, port=port, stage=stage, longest_pair=longest_pair)
            for rank in range(1, job.cards)
        ]
        started = [stack.enter_context(_process(each)) for each in lent]
        is_over = threading.Event()
        for process in started:
            threading.Thread(target=_end_with, args=(process, is_over), daemon=True).start()
        stack.callback(is_over.set)
        join(job, 0, port)
        try:
            yield
            is_over.set()
            _tell(None)
            for process in started:
                process.wait()
        finally:
            is_over.set()
            dist.destroy_process_group()


def join(job: TrainJob, rank: int, port: int) -> None:
    store = dist.TCPStore("127.0.0.1", port, job.cards, is_master=rank == 0, timeout=START)
    dist.init_process_group(
        # What is told goes between the CPUs, weights and gradients between the cards.
        "cpu:gloo,cuda:nccl" if job.device == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=job.cards,
        timeout=PATIENCE,
    )


@contextmanager
def _process(lending: Lending) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "forge_trainer_cuda.other"],
        env=os.environ | _own_card(lending.rank), stdin=subprocess.PIPE, stdout=sys.stderr, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        # The pipe stays open: the other ends when it closes.
        process.stdin.write(lending.model_dump_json() + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def _end_with(process: subprocess.Popen[str], is_over: threading.Event) -> None:
    """A lost process is waited for without end by those who compute with it: the training ends, and is taken up again."""
    status = process.wait()
    if not is_over.is_set():
        print(f"a further card's process ended with status {status}", file=sys.stderr, flush=True)  # noqa: T201
        os.kill(os.getpid(), CANNOT_GO_ON if status == OUT_OF_MEMORY else signal.SIGKILL)


def _end(rank: int, reason: str) -> NoReturn:
    print(f"memory ran out on card {rank}: {reason}", file=sys.stderr, flush=True)  # noqa: T201
    if rank == 0:
        os.kill(os.getpid(), CANNOT_GO_ON)
    os._exit(OUT_OF_MEMORY)


def _own_card(rank: int) -> dict[str, str]:
    """Each process sees one card, and calls it the first."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = seen.split(",") if seen else None
    return {"CUDA_VISIBLE_DEVICES": cards[rank] if cards and rank < len(cards) else str(rank)}


def _tell(order: Order | None) -> None:
    dist.broadcast_object_list([order], src=0, device=torch.device("cpu"))


def _heard() -> Order | None:
    box: list[Any] = [None]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    order: Order | None = box[0]
    return order


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
