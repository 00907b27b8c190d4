"""The training, top to bottom: rows, model, loop, best adapter. Runs in a child process of its own; never pickles."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import PeftModel

from forge_common.contracts.stages import Progress
from forge_common.weights.adapter import trained_layers, write_adapter_folder
from forge_common.weights.batches import BatchPlan, learning_rate, packs
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.rows import TokenRow, training_rows
from forge_common.weights.tokenizer import ChatTokenizer
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
from forge_trainer_cuda.memory import Room, RowsTooLong, limit_memory, load, release, shorter
from forge_trainer_cuda.model import load_trainable, trained
from forge_trainer_cuda.packed import pack


def train(job: TrainJob, report: Reports) -> TrainOutcome:
    """Train, or go on where a killed training of the same job stopped; with shorter rows where memory is too small.

    On the CPU the outcome is the same to the last bit, killed or not. Raises NothingToTrainOn, TrainingDiverged,
    OutOfMemory.
    """
    limit_memory(job.rules.max_memory_gb, job.device)
    while True:
        try:
            return _train(job, report)
        except RowsTooLong as error:
            longest = error.longest
        # Outside of the handler, which keeps the model alive.
        release()
        rules = job.rules.model_copy(update={"max_seq_length": shorter(longest, job.rules.max_seq_length)})
        report.progress(Progress(message=f"memory ran out: rows of at most {rules.max_seq_length} tokens"))
        job = job.model_copy(update={"rules": rules})


def _train(job: TrainJob, report: Reports) -> TrainOutcome:
    rules, workdir = job.rules, Path(job.workdir)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)

    encoded, valid = training_rows(job, ChatTokenizer(Path(job.base)))
    rows = encoded.rows
    lengths = [len(row.tokens) for row in rows]
    plan = BatchPlan(lengths, rules)
    room = Room(job.max_tokens_at_once, lambda message: report.progress(Progress(message=message)))

    model = load(lambda: load_trainable(Path(job.base), rules, job.device), job.base_name)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=rules.learning_rate, betas=BETAS, weight_decay=rules.weight_decay
    )
    fingerprint = job.fingerprint()
    standing = resume.load(workdir / "checkpoint", fingerprint)
    if standing is None:
        standing = Standing(job=fingerprint)
        shutil.rmtree(workdir / "best", ignore_errors=True)
    else:
        resume.mend(workdir / "best")
        resume.load_into(workdir / "checkpoint", model, optimizer)

    course = Course(standing, rules, plan.steps)
    for step, batch in plan.batches(standing.step):
        if course.standing.is_over:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, rules, plan.steps)
        chosen = [rows[index] for index in batch]
        loss = room.fit(
            max(len(row.tokens) for row in chosen),
            lambda most: backward(model, chosen, most, job.device),  # noqa: B023  done within this step
            optimizer.zero_grad,
        )
        norm = torch.nn.utils.clip_grad_norm_(trainable, MAX_GRADIENT)
        check_finite(loss, float(norm), step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        done, tokens = step + 1, sum(lengths[index] for index in batch)
        report.progress(course.count(done, loss, tokens, peak_memory_bytes(job.device)))
        if course.judge(done, lambda: evaluate(model, valid, room, job.device)):
            if course.standing.best_step == done:
                _keep(model, job)
            resume.save(workdir / "checkpoint", course.standing, model, optimizer)

    return course.standing.outcome(workdir / "best", encoded, peak_memory_bytes=peak_memory_bytes(job.device))


def backward(model: PeftModel, rows: Sequence[TokenRow], max_tokens: int, device: str) -> float:
    """Add the batch's gradients, a few rows at a time; the mean loss per target."""
    total, loss = sum(row.targets for row in rows), 0.0
    for pack_of in packs(range(len(rows)), [len(row.tokens) for row in rows], max_tokens):
        # Every target weighs the same, however the batch is cut.
        share = target_loss(model, [rows[index] for index in pack_of], device) / total
        share.backward()
        loss += share.item()
    return loss


def target_loss(model: PeftModel, rows: Sequence[TokenRow], device: str) -> torch.Tensor:
    """Summed cross-entropy of what the assistant wrote, in nats; the same as of each row by itself."""
    packed = pack(rows, device)
    causal = model.get_base_model()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        hidden = causal.model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            bounds=packed.bounds,
            longest=packed.longest,
        ).last_hidden_state
    head = causal.lm_head.weight
    # Logits only of what is learned, and in pieces where even these would be the largest tensor by far.
    wanted, labels = hidden[packed.targets], packed.labels[packed.targets]
    in_pieces = torch.nn.LinearCrossEntropyOptions() if len(wanted) >= head.shape[1] < head.shape[0] else None
    return F.linear_cross_entropy(
        wanted.to(head.dtype), head, labels, reduction="sum", options=in_pieces
    ).float()


def evaluate(model: PeftModel, rows: Sequence[TokenRow], room: Room, device: str) -> float | None:
    """Mean loss per target token; None without rows."""
    if not rows:
        return None
    lengths = [len(row.tokens) for row in rows]

    def work(max_tokens: int) -> float:
        losses = (
            target_loss(model, [rows[index] for index in pack_of], device)
            for pack_of in packs(range(len(rows)), lengths, max_tokens)
        )
        return math.fsum(loss.item() for loss in losses)

    model.eval()
    with torch.no_grad():
        total = room.fit(max(lengths), work, lambda: None)
    model.train()
    return total / sum(row.targets for row in rows)


def peak_memory_bytes(device: str) -> int:
    """The most that was in use: the card's memory on CUDA, else this process's."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return process_memory_bytes()


def _keep(model: PeftModel, job: TrainJob) -> None:
    """Make these weights the best ones, whole or not at all."""
    best = Path(job.workdir) / "best"
    aside = best.with_name("best.aside")
    shutil.rmtree(aside, ignore_errors=True)
    layers = trained_layers(job.rules, int(model.config.num_hidden_layers))
    write_adapter_folder(aside, trained(model, job.rules), base_name=job.base_name, layers=layers)
    resume.swap(aside, best)
