"""The loop that every training goes through: steps, judgements, checkpoints, the best adapter. Knows no rows and no loss.

Our own: mlx-lm's cannot be resumed or stopped early, sorts nothing by length, and saves in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
from mlx import nn
from mlx.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_map

from forge_common.contracts.domain import TrainingRules
from forge_common.weights.batches import BatchPlan, learning_rate
from forge_common.weights.jobs import OF_NO_MATTER
from forge_common.weights.room import LAST, learning
from forge_common.weights.training import (
    BETAS,
    MAX_GRADIENT,
    Course,
    Reports,
    Standing,
    check_finite,
    process_memory_bytes,
)
from forge_trainer_mlx import resume
from forge_trainer_mlx.jobs import TrainJob
from forge_trainer_mlx.memory import Room
from forge_trainer_mlx.model import trained_weights, write_adapter

Gradients = Any
"""A tree of arrays, as `nn.value_and_grad` gives it."""


class Step(NamedTuple):
    """The mean loss of a batch, in nats, and its gradients."""

    loss: float
    gradients: Gradients


def descend(
    model: nn.Module,
    job: TrainJob,
    rules: TrainingRules,
    lengths: Sequence[int],
    *,
    gradients: Callable[[Sequence[int]], Step],
    judge: Callable[[], float | None],
    room: Room,
    folder: Path,
    report: Reports,
    message: str = "training",
) -> Standing:
    """Train `model` to its last step, from where a killed training of the same job stopped.

    `gradients` are those of a batch of examples, given by their numbers; `judge` says how good the weights are (less is
    better). `folder` gets a checkpoint, whole or not at all, and in the end `best`, the best weights in PEFT's layout.
    Raises TrainingDiverged, and what the two raise.
    """
    plan = BatchPlan(lengths, rules)
    # torch always corrects the first steps' bias; mlx must be told.
    optimizer = AdamW(0.0, list(BETAS), weight_decay=rules.weight_decay, bias_correction=True)
    optimizer.init(model.trainable_parameters())
    path, fingerprint = folder / "checkpoint.safetensors", job.fingerprint(*OF_NO_MATTER)
    checkpoint = resume.load(path, fingerprint)
    best = checkpoint.best if checkpoint else trained_weights(model)
    if checkpoint:
        model.load_weights(list(checkpoint.weights.items()), strict=False)
        optimizer.state = checkpoint.optimizer

    course = Course(checkpoint.standing if checkpoint else Standing(job=fingerprint), rules, plan.steps)
    for step, batch in plan.batches(course.standing.step):
        if course.standing.is_over:
            break
        room.at(learning(step))
        loss, found = gradients(batch)
        clipped, norm = clip_grad_norm(found, MAX_GRADIENT)
        check_finite(loss, number(norm), step)
        optimizer.learning_rate = learning_rate(step, rules, plan.steps)
        optimizer.update(model, clipped)
        mx.eval(model.trainable_parameters(), optimizer.state)

        done, tokens = step + 1, sum(lengths[index] for index in batch)
        progress = course.count(done, loss, tokens, peak_memory_bytes(room))
        progress = progress.model_copy(update={"message": message})
        report.progress(progress)
        room.at(learning(step) + 1)
        if course.judge(done, judge):
            newest = trained_weights(model)
            best = newest if course.standing.best_step == done else best
            resume.save(path, resume.Checkpoint(course.standing, newest, best, optimizer.state))
            report.progress(course.told(progress))
    room.at(LAST)
    write_adapter(folder / "best", best, job, layers=len(model.layers))
    return course.standing


def summed(steps: Iterable[Step]) -> Step:
    """Parts of a batch as one: losses and gradients are shares of the same mean."""
    remaining = iter(steps)
    loss, gradients = next(remaining)
    for share, more in remaining:
        loss, gradients = loss + share, tree_map(mx.add, gradients, more)
        # Else every part's own gradients would stay until the last one's.
        mx.eval(gradients)
    return Step(loss, gradients)


def peak_memory_bytes(room: Room) -> int:
    """The most that was in use: mlx's buffers or the whole process, whichever is more (Metal's are not in the latter)."""
    return max(process_memory_bytes(), room.peak_bytes)


def number(scalar: mx.array) -> float:
    value = scalar.item()
    assert isinstance(value, float)
    return value
