"""The training, top to bottom: rows, model, what is minimised; its course is `weights.training`. In a child process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mlx.core as mx
from mlx import nn

from forge_common.weights import training
from forge_common.weights.batches import parts
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.rows import TokenRow
from forge_common.weights.training import Framework, Reports, read_rows
from forge_trainer_mlx.descent import Step, descend, number, peak_memory_bytes, summed
from forge_trainer_mlx.dpo import prefer
from forge_trainer_mlx.jobs import TrainJob
from forge_trainer_mlx.memory import Room, is_out_of_memory, load, make_room, release
from forge_trainer_mlx.model import go_on_from, load_trainable, log_probabilities, padded, save_memory


def train(job: TrainJob, report: Reports) -> TrainOutcome:
    return training.train(job, report, Framework("mlx", fine_tune, prefer, is_out_of_memory, release))


def fine_tune(job: TrainJob, report: Reports) -> TrainOutcome:
    """Supervised, on what the assistant wrote. Raises RowsTooLong."""
    encoded, valid = read_rows(job, report)
    rows = encoded.rows
    lengths = [len(row.tokens) for row in rows]
    room = make_room(job, Path(job.workdir), report)

    model = load(lambda: load_trainable(Path(job.base), job.rules), job.base_name, room.budget)
    if job.parent is not None:
        go_on_from(model, Path(job.parent), job.rules)
    save_memory(model)
    longest = max([*rows, *valid], key=lambda row: len(row.tokens))
    room.measure(len(longest.tokens), lambda: mx.eval(backward(model, [longest], 1).gradients))

    standing = descend(
        model,
        job,
        job.rules,
        lengths,
        gradients=lambda batch: room.fit(
            max(lengths[index] for index in batch),
            partial(backward, model, [rows[index] for index in batch]),
            lambda: None,
        ),
        judge=lambda: evaluate(model, valid, room),
        room=room,
        folder=Path(job.workdir),
        report=report,
    )
    return standing.outcome(Path(job.workdir) / "best", encoded, peak_memory_bytes=peak_memory_bytes(room))


def backward(model: nn.Module, rows: Sequence[TokenRow], max_tokens: int) -> Step:
    """The batch's mean loss per target and its gradients, a few rows at a time."""
    total = sum(row.targets for row in rows)
    ask = nn.value_and_grad(model, lambda some: target_loss(model, some) / total)

    def share(part: Sequence[int]) -> Step:
        # Every target weighs the same, however the batch is cut.
        loss, gradients = ask([rows[index] for index in part])
        mx.eval(loss, gradients)
        return Step(number(loss), gradients)

    lengths = [len(row.tokens) for row in rows]
    return summed(map(share, parts(range(len(rows)), lengths, max_tokens)))


def evaluate(model: nn.Module, rows: Sequence[TokenRow], room: Room) -> float | None:
    """Mean loss per target token; None without rows."""
    if not rows:
        return None
    lengths = [len(row.tokens) for row in rows]

    def work(max_tokens: int) -> float:
        return sum(
            number(target_loss(model, [rows[index] for index in part]))
            for part in parts(range(len(rows)), lengths, max_tokens)
        )

    return room.fit(max(lengths), work, lambda: None) / sum(row.targets for row in rows)


def target_loss(model: nn.Module, rows: Sequence[TokenRow]) -> mx.array:
    """Summed cross-entropy of what the assistant wrote, in nats."""
    return -log_probabilities(model, *padded(rows)).sum()
