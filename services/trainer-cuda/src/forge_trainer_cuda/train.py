"""The training, top to bottom: rows, model, what is minimised. Runs in a child process of its own; never pickles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import PeftModel

from forge_common.contracts.stages import Progress
from forge_common.weights.batches import packs
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.room import RowsTooLong, shorter
from forge_common.weights.rows import TokenRow, training_rows
from forge_common.weights.tokenizer import ChatTokenizer
from forge_common.weights.training import Reports
from forge_trainer_cuda.descent import descend, peak_memory_bytes
from forge_trainer_cuda.dpo import prefer
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.memory import Room, limit_memory, load, release
from forge_trainer_cuda.model import go_on_from, load_trainable
from forge_trainer_cuda.packed import hidden_states


def train(job: TrainJob, report: Reports) -> TrainOutcome:
    """Train, or go on where a killed training of the same job stopped; with shorter rows where memory is too small.

    SFT first and, where there are preferences, DPO on top. On the CPU the outcome is the same to the last bit, killed or
    not. Raises NothingToTrainOn, TrainingDiverged, OutOfMemory.
    """
    limit_memory(job.rules.max_memory_gb, job.device)
    while True:
        try:
            outcome = fine_tune(job, report)
            return prefer(job, outcome, report) if job.preferences and job.rules.dpo else outcome
        except RowsTooLong as error:
            longest = error.longest
        # Outside of the handler, which keeps the model alive.
        release()
        rules = job.rules.model_copy(update={"max_seq_length": shorter(longest, job.rules.max_seq_length)})
        report.progress(Progress(message=f"memory ran out: rows of at most {rules.max_seq_length} tokens"))
        job = job.model_copy(update={"rules": rules})


def fine_tune(job: TrainJob, report: Reports) -> TrainOutcome:
    """Supervised, on what the assistant wrote. Raises RowsTooLong."""
    rules = job.rules
    torch.use_deterministic_algorithms(mode=True, warn_only=True)

    encoded, valid = training_rows(job, ChatTokenizer(Path(job.base)))
    rows = encoded.rows
    lengths = [len(row.tokens) for row in rows]
    room = Room(job.max_tokens_at_once, lambda message: report.progress(Progress(message=message)))

    model = load(lambda: load_trainable(Path(job.base), rules, job.device), job.base_name)
    if job.parent is not None:
        go_on_from(model, Path(job.parent), rules)

    standing = descend(
        model,
        job,
        rules,
        lengths,
        gradients=lambda batch: room.fit(
            max(lengths[index] for index in batch),
            lambda most: backward(model, [rows[index] for index in batch], most, job.device),
            model.zero_grad,
        ),
        judge=lambda: evaluate(model, valid, room, job.device),
        folder=Path(job.workdir),
        report=report,
    )
    return standing.outcome(
        Path(job.workdir) / "best", encoded, peak_memory_bytes=peak_memory_bytes(job.device)
    )


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
    packed, hidden = hidden_states(model, rows, device)
    head = model.get_base_model().lm_head.weight
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
