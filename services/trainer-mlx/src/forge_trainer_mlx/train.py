"""The training, top to bottom: rows, model, loop, best adapter. Runs in a child process of its own.

Our own loop: mlx-lm's cannot be resumed or stopped early, sorts nothing by length, and saves in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_map
from mlx_lm.tuner.trainer import grad_checkpoint

from forge_common.weights.adapter import trained_layers, write_adapter_folder
from forge_common.weights.batches import BatchPlan, learning_rate, parts
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
from forge_trainer_mlx import resume
from forge_trainer_mlx.jobs import TrainJob
from forge_trainer_mlx.model import last_logits, load_trainable, to_peft, trained_weights


def train(job: TrainJob, report: Reports) -> TrainOutcome:
    """Train, or go on where a killed training of the same job stopped.

    On the CPU the outcome is the same to the last bit, killed or not. Raises NothingToTrainOn, TrainingDiverged.
    """
    encoded, valid = training_rows(job, ChatTokenizer(Path(job.base)))
    training = Training(job, encoded.rows, valid, report)
    training.run()
    return training.course.standing.outcome(training.write(), encoded, peak_memory_bytes=peak_memory_bytes())


class Training:
    """One training's state, from its first or its last saved step to its end."""

    def __init__(
        self, job: TrainJob, rows: Sequence[TokenRow], valid: Sequence[TokenRow], report: Reports
    ) -> None:
        self.job, self.rules, self.rows, self.valid, self.report = job, job.rules, rows, valid, report
        self.lengths = [len(row.tokens) for row in rows]
        self.plan = BatchPlan(self.lengths, job.rules)
        self.model = load_trainable(Path(job.base), job.rules)
        # torch always corrects the first steps' bias; mlx must be told.
        self.optimizer = AdamW(0.0, list(BETAS), weight_decay=self.rules.weight_decay, bias_correction=True)
        self.optimizer.init(self.model.trainable_parameters())
        self.best = trained_weights(self.model)
        self.course = Course(self._go_on(), job.rules, self.plan.steps)
        self._loss_and_gradients = nn.value_and_grad(self.model, target_loss)

    def run(self) -> None:
        """Raises TrainingDiverged."""
        if mx.default_device() == mx.gpu:
            # A Mac's memory is short before its time is: activations are recomputed, block by block.
            grad_checkpoint(self.model.layers[0])
        for step, batch in self.plan.batches(self.course.standing.step):
            if self.course.standing.is_over:
                break
            loss, tokens = self._step(step, batch), sum(self.lengths[index] for index in batch)
            self.report.progress(self.course.count(step + 1, loss, tokens, peak_memory_bytes()))
            if self.course.judge(step + 1, self.evaluate):
                self._save()

    def write(self) -> Path:
        """The best weights as a folder in PEFT's layout."""
        folder = Path(self.job.workdir) / "best"
        layers = trained_layers(self.rules, len(self.model.layers))
        adapter = to_peft(self.best, self.rules)
        write_adapter_folder(folder, adapter, base_name=self.job.base_name, layers=layers)
        return folder

    def _go_on(self) -> Standing:
        job = self.job.fingerprint("memory_share")
        checkpoint = resume.load(self._checkpoint, job)
        if checkpoint is None:
            return Standing(job=job)
        self.best = checkpoint.best
        self.model.load_weights(list(checkpoint.weights.items()), strict=False)
        self.optimizer.state = checkpoint.optimizer
        return checkpoint.standing

    def _step(self, step: int, batch: Sequence[int]) -> float:
        total = sum(self.rows[index].targets for index in batch)
        loss, gradients = 0.0, None
        for part in parts(batch, self.lengths, self.job.max_tokens_at_once):
            share, found = self._loss_and_gradients(self.model, [self.rows[index] for index in part])
            gradients = found if gradients is None else tree_map(mx.add, gradients, found)
            mx.eval(share, gradients)
            loss += _number(share) / total
        # Every target weighs the same, however the batch is cut.
        clipped, norm = clip_grad_norm(tree_map(lambda gradient: gradient / total, gradients), MAX_GRADIENT)
        check_finite(loss, _number(norm), step)
        self.optimizer.learning_rate = learning_rate(step, self.rules, self.plan.steps)
        self.optimizer.update(self.model, clipped)
        mx.eval(self.model.trainable_parameters(), self.optimizer.state)
        return loss

    def _save(self) -> None:
        standing, newest = self.course.standing, trained_weights(self.model)
        if standing.best_step == standing.step:
            self.best = newest
        resume.save(self._checkpoint, resume.Checkpoint(standing, newest, self.best, self.optimizer.state))

    def evaluate(self) -> float | None:
        """Mean loss per target token; None without validation rows."""
        if not self.valid:
            return None
        lengths = [len(row.tokens) for row in self.valid]
        total = sum(
            _number(target_loss(self.model, [self.valid[index] for index in part]))
            for part in parts(range(len(self.valid)), lengths, self.job.max_tokens_at_once)
        )
        return total / sum(row.targets for row in self.valid)

    @property
    def _checkpoint(self) -> Path:
        return Path(self.job.workdir) / "checkpoint.safetensors"


def target_loss(model: nn.Module, rows: Sequence[TokenRow]) -> mx.array:
    """Summed cross-entropy of what the assistant wrote, in nats."""
    width = max(len(row.tokens) for row in rows)
    # Padding stands to the right of a causal model's rows: nothing that counts looks at it.
    tokens = np.array([[*row.tokens, *([0] * (width - len(row.tokens)))] for row in rows], dtype=np.int32)
    mask = np.array([[*row.loss_mask, *([False] * (width - len(row.tokens)))] for row in rows])
    places = np.flatnonzero(mask[:, 1:])
    logits = last_logits(model, mx.array(tokens[:, :-1]), mx.array(places))
    targets = mx.array(tokens[:, 1:].reshape(-1)[places])
    loss: mx.array = nn.losses.cross_entropy(logits.astype(mx.float32), targets, reduction="sum")
    return loss


def peak_memory_bytes() -> int:
    """The most that was in use: mlx's buffers or the whole process, whichever is more (Metal's are not in the latter)."""
    return max(process_memory_bytes(), mx.get_peak_memory())


def _number(scalar: mx.array) -> float:
    value = scalar.item()
    assert isinstance(value, float)
    return value
