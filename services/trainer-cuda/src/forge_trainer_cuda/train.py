"""The training, top to bottom: rows, model, what is minimised; its course is `weights.training`. In a child process of its own; never pickles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel

from forge_common.contracts.stages import Progress
from forge_common.weights import training
from forge_common.weights.batches import packs
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.rows import TokenRow, training_rows
from forge_common.weights.tokenizer import ChatTokenizer
from forge_common.weights.training import Framework, Reports
from forge_trainer_cuda.cards import Crew, others
from forge_trainer_cuda.descent import best_adapter, descend, peak_memory_bytes
from forge_trainer_cuda.dpo import prefer
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.logits import cross_entropy, log_probabilities
from forge_trainer_cuda.memory import Room, is_out_of_memory, limit_memory, load, release, tokens_at_once
from forge_trainer_cuda.model import go_on_from, load_trainable
from forge_trainer_cuda.packed import hidden_states
from forge_trainer_cuda.recompute import Recompute


def train(job: TrainJob, report: Reports) -> TrainOutcome:
    limit_memory(job.rules.max_memory_gb, job.device)
    return training.train(job, report, Framework(job.device, fine_tune, prefer, is_out_of_memory, release))


def settle_arithmetic(device: str) -> None:
    """On the CPU the same bits every time; on a card the fastest that bf16 training can tell no difference of."""
    torch.use_deterministic_algorithms(mode=device == "cpu", warn_only=True)
    # Nothing here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    if device == "cuda":
        torch.set_float32_matmul_precision("high")


def fine_tune(job: TrainJob, report: Reports) -> TrainOutcome:
    """Supervised, on what the assistant wrote. Raises RowsTooLong."""
    encoded, valid = training_rows(job, ChatTokenizer(Path(job.base)))
    learner = Learner(job, encoded.rows)
    if job.parent is not None:
        go_on_from(learner.model, Path(job.parent), job.rules)
    room = Room(learner.tokens_at_once, lambda message: report.progress(Progress(message=message)))
    lengths = learner.lengths

    with ExitStack() as stack:
        if job.cards > 1:
            stack.enter_context(others(job))
        gradients = learner.crew().gradients if job.cards > 1 else learner.gradients
        standing = descend(
            learner.model,
            job,
            job.rules,
            lengths,
            gradients=lambda batch: room.fit(
                max(lengths[row] for row in batch), partial(gradients, batch), learner.forget
            ),
            judge=lambda: evaluate(learner.model, valid, room, job.device),
            folder=Path(job.workdir),
            report=report,
        )
    return standing.outcome(
        best_adapter(Path(job.workdir)), encoded, peak_memory_bytes=peak_memory_bytes(job.device)
    )


def lend(job: TrainJob) -> None:
    """What the processes of further cards do."""
    encoded, _ = training_rows(job, ChatTokenizer(Path(job.base)))
    Learner(job, encoded.rows).crew().follow()


class Learner:
    """The model and the rows that it learns from, in one process. Rows go by their numbers."""

    def __init__(self, job: TrainJob, rows: Sequence[TokenRow]) -> None:
        settle_arithmetic(job.device)
        self.rows = rows
        self.lengths = [len(row.tokens) for row in rows]
        self.targets = [row.targets for row in rows]
        self.model = load(lambda: load_trainable(Path(job.base), job.rules, job.device), job.base_name)
        self.tokens_at_once = tokens_at_once(job)
        self._recompute = Recompute(self.model, job.device)
        if job.compiled and job.device == "cuda" and job.rules.method != "qlora":
            self._recompute.compile_blocks()
        self._device = job.device

    def gradients(self, batch: Sequence[int], max_tokens: int) -> float:
        """Add the batch's gradients; the mean loss per target."""
        return self.backward(batch, max_tokens, sum(self.targets[row] for row in batch))

    def backward(self, rows: Sequence[int], max_tokens: int, total: int) -> float:
        """Add the gradients of `rows`, some at a time, of a batch of `total` targets; their share of its mean loss."""
        loss = torch.zeros((), device=self._device)
        for pack_of in packs(rows, self.lengths, max_tokens):
            with self._recompute.watching(sum(self.lengths[row] for row in pack_of), max_tokens):
                # Every target weighs the same, however the batch is cut.
                chosen = [self.rows[row] for row in pack_of]
                share = target_loss(self.model, chosen, self._device) / total
                share.backward()
            loss += share.detach()
        # The step's only wait for the card.
        return float(loss)

    def forget(self) -> None:
        """What a pass left that ran out of memory."""
        self.model.zero_grad()
        self._recompute.all_again()

    @property
    def blocks_that_keep(self) -> int:
        return self._recompute.kept

    def crew(self) -> Crew:
        weights = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return Crew(weights, self.lengths, self.targets, self.backward)


def target_loss(model: PeftModel, rows: Sequence[TokenRow], device: str) -> torch.Tensor:
    """Summed cross-entropy of what the assistant wrote, in nats; the same as of each row by itself."""
    packed, hidden = hidden_states(model, rows, device)
    head = model.get_base_model().lm_head.weight
    return cross_entropy(hidden[0, packed.wanted], head, packed.wanted_labels)


def exact_loss(model: PeftModel, rows: Sequence[TokenRow], device: str) -> torch.Tensor:
    """`target_loss` without what the fused way rounds, for judging; it would be slower to learn by."""
    packed, hidden = hidden_states(model, rows, device)
    head = model.get_base_model().lm_head.weight
    return -log_probabilities(hidden[0, packed.wanted], head, packed.wanted_labels).sum()


def evaluate(model: PeftModel, rows: Sequence[TokenRow], room: Room, device: str) -> float | None:
    """Mean loss per target token; None without rows."""
    if not rows:
        return None
    lengths = [len(row.tokens) for row in rows]

    def work(max_tokens: int) -> float:
        losses = (
            exact_loss(model, [rows[index] for index in pack_of], device)
            for pack_of in packs(range(len(rows)), lengths, max_tokens)
        )
        return math.fsum(torch.stack(list(losses)).tolist())

    model.eval()
    with torch.no_grad():
        total = room.fit(max(lengths), work, lambda: None)
    model.train()
    return total / sum(row.targets for row in rows)
