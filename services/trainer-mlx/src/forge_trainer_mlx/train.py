"""The training, top to bottom: rows, model, loop, best adapter. Runs in a child process of its own.

Our own loop: mlx-lm's cannot be resumed or stopped early, sorts nothing by length, and saves in place.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_map
from mlx_lm.tuner.trainer import grad_checkpoint

from forge_common.contracts.stages import CurvePoint, Progress
from forge_common.errors import ForgeError, Invalid
from forge_common.weights.adapter import write_adapter_folder
from forge_common.weights.batches import BatchPlan, learning_rate, parts
from forge_common.weights.checkpoint import model_config
from forge_common.weights.rows import EncodedRows, TokenRow, encode_rows, load_rows
from forge_common.weights.tokenizer import ChatTokenizer
from forge_trainer_mlx import resume
from forge_trainer_mlx.jobs import TrainJob, TrainOutcome
from forge_trainer_mlx.model import (
    last_logits,
    load_trainable,
    to_peft,
    trained_layers,
    trained_weights,
)

# Enough for a steady curve; more would only delay the next step.
MAX_VALID_ROWS = 256
CURVE_POINTS = 100
BETAS = [0.9, 0.98]
MAX_GRADIENT = 1.0


class NothingToTrainOn(Invalid):
    """Not one row of the dataset can be trained on."""


class TrainingDiverged(ForgeError):
    """The loss is no number any more."""


class Reports(Protocol):
    def progress(self, progress: Progress) -> None: ...


def train(job: TrainJob, report: Reports) -> TrainOutcome:
    """Train, or go on where a killed training of the same job stopped.

    On the CPU the outcome is the same to the last bit, killed or not. Raises NothingToTrainOn, TrainingDiverged.
    """
    tokenizer = ChatTokenizer(Path(job.base))
    encoded = encoded_rows(job, job.train, tokenizer)
    if not encoded.rows:
        raise NothingToTrainOn(
            f"none of {encoded.too_long} rows has at most {encoded.max_tokens} tokens",
            fix="raise training.max_seq_length, or capture shorter conversations",
        )
    valid = some(encoded_rows(job, job.valid, tokenizer).rows)
    training = Training(job, encoded.rows, valid, report)
    training.run()
    return _outcome(training, encoded.too_long)


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
        self.optimizer = AdamW(0.0, BETAS, weight_decay=self.rules.weight_decay, bias_correction=True)
        self.optimizer.init(self.model.trainable_parameters())
        self.best = trained_weights(self.model)
        self.standing = resume.Standing(job=_identity(job))
        self._loss_and_gradients = nn.value_and_grad(self.model, target_loss)
        self._losses: list[float] = []

    def run(self) -> None:
        """Raises TrainingDiverged."""
        self._go_on()
        if mx.default_device() == mx.gpu:
            # A Mac's memory is short before its time is: activations are recomputed, block by block.
            grad_checkpoint(self.model.layers[0])
        clock = _Clock(self.standing, self.plan.steps)
        for step, batch in self.plan.batches(self.standing.step):
            if self.standing.is_over:
                break
            self._losses.append(self._step(step, batch))
            clock.count(sum(self.lengths[index] for index in batch))
            self.report.progress(clock.progress(step + 1, self._losses[-1], self.standing.curve))
            self._judge(step + 1, clock)

    def _go_on(self) -> None:
        checkpoint = resume.load(self._checkpoint, self.standing.job)
        if checkpoint is None:
            return
        self.standing, self.best = checkpoint.standing, checkpoint.best
        self.model.load_weights(list(checkpoint.weights.items()), strict=False)
        self.optimizer.state = checkpoint.optimizer

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
        _check(loss, _number(norm), step)
        self.optimizer.learning_rate = learning_rate(step, self.rules, self.plan.steps)
        self.optimizer.update(self.model, clipped)
        mx.eval(self.model.trainable_parameters(), self.optimizer.state)
        return loss

    def _judge(self, done: int, clock: _Clock) -> None:
        """Add to the curve; every `evaluate_every` steps and after the last also validate, and save."""
        is_last = done == self.plan.steps
        is_judged = done % self.rules.evaluate_every == 0 or is_last
        if not is_judged and done % max(1, self.plan.steps // CURVE_POINTS):
            return
        valid_loss = self.evaluate() if is_judged and self.valid else None
        mean = sum(self._losses) / len(self._losses)
        point = CurvePoint(step=done, train_loss=mean, valid_loss=valid_loss)
        self._losses.clear()
        self.standing = self.standing.model_copy(update={"curve": (*self.standing.curve, point)})
        if not is_judged:
            return
        self.standing = _judged(self.standing, done, valid_loss, self.rules.patience, is_last=is_last)
        self.standing = self.standing.model_copy(update={"tokens": clock.tokens, "seconds": clock.seconds})
        if self.standing.best_step == done:
            self.best = trained_weights(self.model)
        newest = resume.Checkpoint(
            self.standing, trained_weights(self.model), self.best, self.optimizer.state
        )
        resume.save(self._checkpoint, newest)

    def evaluate(self) -> float:
        """Mean loss per target token."""
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


def encoded_rows(job: TrainJob, path: str, tokenizer: ChatTokenizer) -> EncodedRows:
    context = model_config(Path(job.base))["max_position_embeddings"]
    assert isinstance(context, int)
    return encode_rows(
        load_rows(Path(path)),
        tokenizer,
        system_prompt=job.system_prompt,
        max_tokens=min(job.rules.max_seq_length, context),
    )


def some(rows: Sequence[TokenRow]) -> Sequence[TokenRow]:
    """At most MAX_VALID_ROWS of them, evenly spread."""
    return rows[:: math.ceil(len(rows) / MAX_VALID_ROWS)] if rows else ()


def peak_memory_bytes() -> int:
    """The most that was in use: mlx's buffers or the whole process, whichever is more (Metal's are not in the latter)."""
    # macOS counts bytes, Linux kibibytes.
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return max(process, mx.get_peak_memory())


class _Clock:
    """Time and tokens of this training, those before a kill included; speed of this process alone."""

    def __init__(self, standing: resume.Standing, steps: int) -> None:
        self._before, self._steps = standing, steps
        self._started = time.monotonic()
        self._tokens = 0

    @property
    def tokens(self) -> int:
        return self._before.tokens + self._tokens

    @property
    def seconds(self) -> float:
        return self._before.seconds + time.monotonic() - self._started

    def count(self, tokens: int) -> None:
        self._tokens += tokens

    def progress(self, done: int, loss: float, curve: Sequence[CurvePoint]) -> Progress:
        elapsed = time.monotonic() - self._started
        per_step = elapsed / max(1, done - self._before.step)
        metrics = {
            "loss": loss,
            "tokens_per_s": self._tokens / max(elapsed, 1e-9),
            "memory_bytes": float(peak_memory_bytes()),
        }
        judged = [point.valid_loss for point in curve if point.valid_loss is not None]
        if judged:
            metrics["valid_loss"] = judged[-1]
        eta_s = per_step * (self._steps - done)
        return Progress(message="training", step=done, of=self._steps, eta_s=eta_s, metrics=metrics)


def _identity(job: TrainJob) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    data = (Path(job.train).read_bytes(), Path(job.valid).read_bytes())
    facts = job.model_dump_json(exclude={"train", "valid", "workdir", "memory_share"})
    return resume.job_id(facts.encode(), *data)


def _judged(
    standing: resume.Standing, done: int, valid_loss: float | None, patience: int, *, is_last: bool
) -> resume.Standing:
    """Without validation rows the newest weights are the best known."""
    is_best = valid_loss is None or standing.best_loss is None or valid_loss < standing.best_loss
    stale = 0 if is_best else standing.stale + 1
    update: dict[str, object] = {"step": done, "stale": stale, "is_over": is_last or stale >= patience}
    return standing.model_copy(
        update=update | ({"best_step": done, "best_loss": valid_loss} if is_best else {})
    )


def _outcome(training: Training, too_long: int) -> TrainOutcome:
    job, standing = training.job, training.standing
    best = next(point for point in standing.curve if point.step == standing.best_step)
    assert best.train_loss is not None
    folder = Path(job.workdir) / "best"
    layers = trained_layers(job.rules, len(training.model.layers))
    write_adapter_folder(folder, to_peft(training.best, job.rules), base_name=job.base_name, layers=layers)
    return TrainOutcome(
        adapter=str(folder),
        curve=standing.curve,
        steps=standing.step,
        best_step=standing.best_step,
        train_loss=best.train_loss,
        valid_loss=standing.best_loss,
        tokens=standing.tokens,
        seconds=standing.seconds,
        peak_memory_bytes=peak_memory_bytes(),
        too_long=too_long,
    )


def _check(loss: float, norm: float, step: int) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingDiverged(
            f"at step {step + 1} the loss is {loss} and the gradient's norm {norm}",
            fix="lower training.learning_rate, or raise training.warmup_steps",
        )


def _number(scalar: mx.array) -> float:
    value = scalar.item()
    assert isinstance(value, float)
    return value
