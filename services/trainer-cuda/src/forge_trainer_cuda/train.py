"""The training, top to bottom: rows, model, what is minimised; its course is `weights.training`. In a child process of its own; never pickles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel

from forge_common.weights import training
from forge_common.weights.batches import packs
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.rows import TokenRow, training_rows
from forge_common.weights.tokenizer import ChatTokenizer
from forge_common.weights.training import Framework, Reports, read_rows
from forge_trainer_cuda.cards import Crew, Share, Task, crew, idle, others
from forge_trainer_cuda.descent import best_adapter, descend, peak_memory_bytes
from forge_trainer_cuda.dpo import prefer
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.logits import cross_entropy, log_probabilities
from forge_trainer_cuda.memory import (
    Room,
    is_out_of_memory,
    limit_memory,
    load,
    make_room,
    must_divide,
    release,
    tokens_at_once,
)
from forge_trainer_cuda.model import go_on_from, load_trainable, settle_arithmetic
from forge_trainer_cuda.packed import hidden_states
from forge_trainer_cuda.recompute import Recompute


def train(job: TrainJob, report: Reports) -> TrainOutcome:
    limit_memory(job.rules.max_memory_gb, job.device)
    job = job.model_copy(update={"sharded": must_divide(job)})
    return training.train(job, report, Framework(job.device, fine_tune, prefer, is_out_of_memory, release))


def fine_tune(job: TrainJob, report: Reports) -> TrainOutcome:
    """Supervised, on what the assistant wrote. Raises RowsTooLong."""
    encoded, valid = read_rows(job, report)
    with others(job, "sft"):
        learner = Learner(job, encoded.rows, valid)
        if job.parent is not None:
            go_on_from(learner.model, Path(job.parent), job.rules)
        room = make_room(learner.tokens_at_once, job, Path(job.workdir), report)
        standing = descend(
            learner.model,
            job,
            job.rules,
            learner.lengths,
            gradients=lambda batch: room.fit(
                max(learner.lengths[row] for row in batch), partial(learner.gradients, batch), learner.forget
            ),
            judge=partial(learner.judged_in, room),
            room=room,
            folder=Path(job.workdir),
            report=report,
        )
    return standing.outcome(
        best_adapter(Path(job.workdir)), encoded, peak_memory_bytes=peak_memory_bytes(job.device)
    )


def lend(job: TrainJob) -> None:
    """What the processes of further cards do."""
    encoded, valid = training_rows(job, ChatTokenizer(Path(job.base)))
    learner = Learner(job, encoded.rows, valid)
    assert isinstance(learner.crew, Crew)
    learner.crew.follow()


class Learner:
    """The model, what it learns from and what judges it, in one process. Rows go by their numbers."""

    def __init__(self, job: TrainJob, rows: Sequence[TokenRow], valid: Sequence[TokenRow] = ()) -> None:
        settle_arithmetic(job.device)
        self._rows, self._valid = rows, valid
        self.lengths = [len(row.tokens) for row in rows]
        self.model = load(
            lambda: load_trainable(Path(job.base), job.rules, job.device, sharded=bool(job.sharded)),
            job.base_name,
        )
        self.tokens_at_once = tokens_at_once(job)
        self._recompute = Recompute(self.model, job.device)
        if job.compiled and job.device == "cuda" and job.rules.method != "qlora" and not job.sharded:
            self._recompute.compile_blocks()
        self._device, self._sharded = job.device, bool(job.sharded)
        tasks = {
            "learn": Task(self.backward, self.lengths, [row.targets for row in rows], has_gradients=True),
            "judge": Task(self.losses, [len(row.tokens) for row in valid], [row.targets for row in valid]),
        }
        self.crew = crew(job, self.model, tasks)

    def gradients(self, batch: Sequence[int], max_tokens: int) -> float:
        """Add the batch's gradients; the mean loss per target."""
        (loss,) = self.crew.do("learn", batch, max_tokens)
        return loss

    def judged_in(self, room: Room) -> float | None:
        """The mean loss per target of the rows that judge; None without any."""
        if not self._valid:
            return None
        longest, rows = max(len(row.tokens) for row in self._valid), range(len(self._valid))
        (loss,) = room.fit(longest, partial(self.crew.do, "judge", rows), lambda: None)
        return loss

    def backward(self, share: Share) -> list[float]:
        """Add the gradients of the share's rows, some at a time; their part of the mean loss."""
        loss = torch.zeros((), device=self._device)
        for pack_of in self._packs(share, self._rows):
            with self._recompute.watching(sum(len(row.tokens) for row in pack_of), share.max_tokens):
                # Every target weighs the same, however the batch is cut.
                part = target_loss(self.model, pack_of, self._device) / share.total
                part.backward()
            loss += part.detach()
        # The step's only wait for the card.
        return [float(loss)]

    def losses(self, share: Share) -> list[float]:
        """As `backward`, without gradients, and exact."""
        self.model.eval()
        with torch.no_grad():
            found = [exact_loss(self.model, each, self._device) for each in self._packs(share, self._valid)]
        self.model.train()
        return [math.fsum(torch.stack(found).tolist()) / share.total if found else 0.0]

    def _packs(self, share: Share, rows: Sequence[TokenRow]) -> Iterator[list[TokenRow]]:
        cut = packs(share.rows, [len(row.tokens) for row in rows], share.max_tokens)
        for pack_of in cut:
            yield [rows[row] for row in pack_of]
        if self._sharded:
            # Every process takes part in every pass, or the others wait for its share of the blocks for ever.
            yield from ([idle(rows)] for _ in range(share.passes - len(cut)))

    def forget(self) -> None:
        """What a pass left that ran out of memory."""
        self.model.zero_grad()
        self._recompute.all_again()

    @property
    def blocks_that_keep(self) -> int:
        return self._recompute.kept


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
    """Mean loss per target token, of a model in no training; None without rows."""
    if not rows:
        return None
    lengths = [len(row.tokens) for row in rows]

    def work(max_tokens: int) -> float:
        with torch.no_grad():
            cut = packs(range(len(rows)), lengths, max_tokens)
            return math.fsum(float(exact_loss(model, [rows[i] for i in pack], device)) for pack in cut)

    return room.fit(max(lengths), work, lambda: None) / sum(row.targets for row in rows)
