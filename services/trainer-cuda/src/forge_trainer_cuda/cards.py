"""Several cards of one machine on one training: every process has the whole base, and works on its share of each batch.

The first process decides everything and has optimizer, checkpoints and reports. The others lend it gradients: for each
batch they are sent the adapter's weights and which rows, and send back the sums. So resuming, early stopping and the
budget are what they are on one card. A base that no single card holds is not trained.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.memory import is_out_of_memory

# The others wait while the first one judges, saves and loads.
PATIENCE = timedelta(hours=12)
# To start Python and load torch.
START = timedelta(minutes=10)

Backward = Callable[[Sequence[int], int, int], float]
"""Adds the gradients of rows, given by their numbers; the second is how many tokens go at once, the third the batch's targets."""


class Crew:
    """What one process of a training knows of the others. `lengths` and `targets` are the rows'."""

    def __init__(
        self,
        weights: Sequence[torch.nn.Parameter],
        lengths: Sequence[int],
        targets: Sequence[int],
        backward: Backward,
    ) -> None:
        self._weights, self._lengths, self._targets, self._backward = weights, lengths, targets, backward
        self._rank, self._size = dist.get_rank(), dist.get_world_size()

    def gradients(self, batch: Sequence[int], max_tokens: int) -> float:
        """Add those of the batch; its mean loss. Raises torch.OutOfMemoryError when any process runs out."""
        _tell((list(batch), max_tokens))
        return self._work(batch, max_tokens)

    def follow(self) -> None:
        """Lend gradients until the first process says that it is over."""
        while (order := _heard()) is not None:
            try:
                self._work(*order)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
            self._forget()

    def _work(self, batch: Sequence[int], max_tokens: int) -> float:
        self._share_weights()
        loss, error = 0.0, None
        try:
            mine = shares(batch, self._lengths, self._size)[self._rank]
            if mine:
                loss = self._backward(mine, max_tokens, sum(self._targets[row] for row in batch))
        except (RuntimeError, MemoryError) as failed:
            if not is_out_of_memory(failed):
                raise
            error = str(failed)
        if error is not None:
            self._forget()
        told = torch.tensor([loss, float(error is not None)], dtype=torch.float64)
        dist.all_reduce(told)
        if told[1] > 0:
            raise torch.OutOfMemoryError(error or "memory ran out on another card")
        self._sum_gradients()
        return float(told[0])

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
def others(job: TrainJob) -> Iterator[None]:
    """Start a process for every other card, and end them. They end with this one, however it ends."""
    with ExitStack() as stack:
        port = _free_port()
        started = [stack.enter_context(_process(job, rank, port)) for rank in range(1, job.cards)]
        join(job, 0, port)
        try:
            yield
            _tell(None)
            for process in started:
                process.wait()
        finally:
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
def _process(job: TrainJob, rank: int, port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "forge_trainer_cuda.other"],
        env=os.environ | _own_card(rank), stdin=subprocess.PIPE, stdout=sys.stderr, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        # The pipe stays open: the other ends when it closes.
        process.stdin.write(
            json.dumps({"job": job.model_dump(mode="json"), "rank": rank, "port": port}) + "\n"
        )
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def _own_card(rank: int) -> dict[str, str]:
    """Each process sees one card, and calls it the first."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = seen.split(",") if seen else None
    return {"CUDA_VISIBLE_DEVICES": cards[rank] if cards and rank < len(cards) else str(rank)}


def _tell(order: tuple[list[int], int] | None) -> None:
    dist.broadcast_object_list([order], src=0, device=torch.device("cpu"))


def _heard() -> tuple[list[int], int] | None:
    box: list[Any] = [None]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    order: tuple[list[int], int] | None = box[0]
    return order


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
