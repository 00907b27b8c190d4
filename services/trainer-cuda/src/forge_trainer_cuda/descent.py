"""The loop that every training goes through: steps, judgements, checkpoints, the best adapter. Knows no rows and no loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel

from forge_common.contracts.domain import TrainingRules
from forge_common.weights.adapter import trained_layers, write_adapter_folder
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
from forge_trainer_cuda import resume
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.memory import Room
from forge_trainer_cuda.model import trained


def descend(
    model: PeftModel,
    job: TrainJob,
    rules: TrainingRules,
    lengths: Sequence[int],
    *,
    gradients: Callable[[Sequence[int]], float],
    judge: Callable[[], float | None],
    room: Room,
    folder: Path,
    report: Reports,
    message: str = "training",
) -> Standing:
    """Train `model` to its last step, from where a killed training of the same job stopped.

    `gradients` adds those of a batch of examples, given by their numbers, and returns its mean loss; `judge` says how good
    the weights are (less is better); both in `room`. `folder` gets a `checkpoint`, whole or not at all, with the best adapter in it.
    Raises TrainingDiverged, and what the two raise.
    """
    plan = BatchPlan(lengths, rules)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=rules.learning_rate, betas=BETAS, weight_decay=rules.weight_decay, fused=True
    )
    fingerprint = job.fingerprint(*OF_NO_MATTER)
    checkpoint = folder / "checkpoint"
    standing = resume.load(checkpoint, fingerprint)
    if standing is not None:
        resume.load_into(checkpoint, model, optimizer)

    course = Course(standing or Standing(job=fingerprint), rules, plan.steps)
    for step, batch in plan.batches(course.standing.step):
        if course.standing.is_over:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, rules, plan.steps)
        room.at(learning(step))
        loss = gradients(batch)
        norm = torch.nn.utils.clip_grad_norm_(trainable, MAX_GRADIENT)
        check_finite(loss, float(norm), step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        done, tokens = step + 1, sum(lengths[index] for index in batch)
        progress = course.count(done, loss, tokens, peak_memory_bytes(job.device))
        progress = progress.model_copy(update={"message": message})
        report.progress(progress)
        room.at(learning(step) + 1)
        if course.judge(done, judge):
            resume.save(checkpoint, course.standing, model, optimizer, partial(_write, model, job))
            report.progress(course.told(progress))
    room.at(LAST)
    return course.standing


def peak_memory_bytes(device: str) -> int:
    """The most that was in use: the card's memory on CUDA, else this process's."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return process_memory_bytes()


def best_adapter(folder: Path) -> Path:
    """What `descend` left there."""
    return folder / "checkpoint" / resume.BEST


def _write(model: PeftModel, job: TrainJob, folder: Path) -> None:
    layers = trained_layers(job.rules, int(model.config.num_hidden_layers))
    write_adapter_folder(folder, trained(model, job.rules), base_name=job.base_name, layers=layers)
