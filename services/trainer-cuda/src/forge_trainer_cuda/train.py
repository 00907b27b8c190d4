"""The training, top to bottom: rows, model, loop, best adapter. Runs in a child process of its own; never pickles."""

from __future__ import annotations

import math
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import PeftModel

from forge_common.contracts.stages import CurvePoint, Progress
from forge_common.errors import ForgeError, Invalid
from forge_common.weights.adapter import write_adapter_folder
from forge_common.weights.checkpoint import model_config
from forge_common.weights.rows import EncodedRows, TokenRow, encode_rows, load_rows
from forge_common.weights.tokenizer import ChatTokenizer
from forge_trainer_cuda import resume
from forge_trainer_cuda.batches import BatchPlan, learning_rate, parts
from forge_trainer_cuda.jobs import TrainJob, TrainOutcome
from forge_trainer_cuda.model import load_trainable, trained, trained_layers

# Enough for a steady curve; more would only delay the next step.
MAX_VALID_ROWS = 256
CURVE_POINTS = 100
BETAS = (0.9, 0.98)
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
    rules, workdir = job.rules, Path(job.workdir)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)

    tokenizer = ChatTokenizer(Path(job.base))
    encoded, valid = _rows(job, job.train, tokenizer), _some(_rows(job, job.valid, tokenizer).rows)
    rows = encoded.rows
    if not rows:
        raise NothingToTrainOn(
            f"none of {encoded.too_long} rows has at most {encoded.max_tokens} tokens",
            fix="raise training.max_seq_length, or capture shorter conversations",
        )
    lengths = [len(row.tokens) for row in rows]
    plan = BatchPlan(lengths, rules)

    model = load_trainable(Path(job.base), rules, job.device)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=rules.learning_rate, betas=BETAS, weight_decay=rules.weight_decay
    )
    standing = resume.load(workdir / "checkpoint", _identity(job))
    if standing is None:
        standing = resume.Standing(job=_identity(job))
        shutil.rmtree(workdir / "best", ignore_errors=True)
    else:
        resume.load_into(workdir / "checkpoint", model, optimizer)

    clock = _Clock(standing, plan.steps)
    losses: list[float] = []
    curve = list(standing.curve)
    for step, batch in plan.batches(standing.step):
        if standing.is_over:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, rules, plan.steps)
        total = sum(rows[index].targets for index in batch)
        loss = 0.0
        for part in parts(batch, lengths, job.max_tokens_at_once):
            # Every target weighs the same, however the batch is cut.
            share = target_loss(model, [rows[index] for index in part], job.device) / total
            share.backward()
            loss += share.item()
        norm = torch.nn.utils.clip_grad_norm_(trainable, MAX_GRADIENT)
        _check(loss, float(norm), step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        done = step + 1
        losses.append(loss)
        clock.count(sum(lengths[index] for index in batch))
        report.progress(clock.progress(done, loss, job.device))
        is_judged = done % rules.evaluate_every == 0 or done == plan.steps
        if not is_judged and done % max(1, plan.steps // CURVE_POINTS):
            continue
        valid_loss = evaluate(model, valid, job) if is_judged and valid else None
        curve.append(CurvePoint(step=done, train_loss=sum(losses) / len(losses), valid_loss=valid_loss))
        losses.clear()
        if is_judged:
            standing = _judged(standing, done, valid_loss, job, is_last=done == plan.steps)
            standing = standing.model_copy(
                update={"curve": tuple(curve), "tokens": clock.tokens, "seconds": clock.seconds}
            )
            if standing.best_step == done:
                _keep(model, job)
            resume.save(workdir / "checkpoint", standing, model, optimizer)

    return _outcome(standing, encoded, workdir, job.device)


def target_loss(model: PeftModel, rows: Sequence[TokenRow], device: str) -> torch.Tensor:
    """Summed cross-entropy of what the assistant wrote, in nats.

    Logits are made only for those tokens: over all of them they would be the largest tensor by far.
    """
    width = max(len(row.tokens) for row in rows)
    ids = _padded([row.tokens for row in rows], width, device)
    attention = _padded([(1,) * len(row.tokens) for row in rows], width, device)
    targets = _padded([row.loss_mask for row in rows], width, device).bool()[:, 1:]
    causal = model.get_base_model()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        hidden = causal.model(input_ids=ids, attention_mask=attention).last_hidden_state
        logits = causal.lm_head(hidden[:, :-1][targets])
    return F.cross_entropy(logits.float(), ids[:, 1:][targets], reduction="sum")


def evaluate(model: PeftModel, rows: Sequence[TokenRow], job: TrainJob) -> float:
    """Mean loss per target token."""
    model.eval()
    lengths = [len(row.tokens) for row in rows]
    total = 0.0
    with torch.no_grad():
        for part in parts(range(len(rows)), lengths, job.max_tokens_at_once):
            total += target_loss(model, [rows[index] for index in part], job.device).item()
    model.train()
    return total / sum(row.targets for row in rows)


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

    def progress(self, done: int, loss: float, device: str) -> Progress:
        elapsed = time.monotonic() - self._started
        per_step = elapsed / max(1, done - self._before.step)
        metrics = {
            "loss": loss,
            "tokens_per_s": self._tokens / max(elapsed, 1e-9),
            "memory_bytes": float(peak_memory_bytes(device)),
        }
        eta_s = per_step * (self._steps - done)
        return Progress(message="training", step=done, of=self._steps, eta_s=eta_s, metrics=metrics)


def peak_memory_bytes(device: str) -> int:
    """The most that was in use: the card's memory on CUDA, else this process's."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    # macOS counts bytes, Linux kibibytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _rows(job: TrainJob, path: str, tokenizer: ChatTokenizer) -> EncodedRows:
    context = model_config(Path(job.base))["max_position_embeddings"]
    return encode_rows(
        load_rows(Path(path)),
        tokenizer,
        system_prompt=job.system_prompt,
        max_tokens=min(job.rules.max_seq_length, context),
    )


def _some(rows: Sequence[TokenRow]) -> Sequence[TokenRow]:
    return rows[:: math.ceil(len(rows) / MAX_VALID_ROWS)] if rows else ()


def _identity(job: TrainJob) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    data = (Path(job.train).read_bytes(), Path(job.valid).read_bytes())
    return resume.job_id(job.model_dump_json(exclude={"train", "valid", "workdir"}).encode(), *data)


def _judged(
    standing: resume.Standing, done: int, valid_loss: float | None, job: TrainJob, *, is_last: bool
) -> resume.Standing:
    """Without validation rows the newest weights are the best known."""
    is_best = valid_loss is None or standing.best_loss is None or valid_loss < standing.best_loss
    stale = 0 if is_best else standing.stale + 1
    update: dict[str, object] = {
        "step": done,
        "stale": stale,
        "is_over": is_last or stale >= job.rules.patience,
    }
    return standing.model_copy(
        update=update | ({"best_step": done, "best_loss": valid_loss} if is_best else {})
    )


def _keep(model: PeftModel, job: TrainJob) -> None:
    """Make these weights the best ones, whole or not at all."""
    best = Path(job.workdir) / "best"
    aside = best.with_name("best.aside")
    shutil.rmtree(aside, ignore_errors=True)
    layers = trained_layers(job.rules, int(model.config.num_hidden_layers))
    write_adapter_folder(aside, trained(model, job.rules), base_name=job.base_name, layers=layers)
    shutil.rmtree(best, ignore_errors=True)
    aside.rename(best)


def _outcome(standing: resume.Standing, encoded: EncodedRows, workdir: Path, device: str) -> TrainOutcome:
    best = next(point for point in standing.curve if point.step == standing.best_step)
    assert best.train_loss is not None
    return TrainOutcome(
        adapter=str(workdir / "best"),
        curve=standing.curve,
        steps=standing.step,
        best_step=standing.best_step,
        train_loss=best.train_loss,
        valid_loss=standing.best_loss,
        tokens=standing.tokens,
        seconds=standing.seconds,
        peak_memory_bytes=peak_memory_bytes(device),
        too_long=encoded.too_long,
    )


def _check(loss: float, norm: float, step: int) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingDiverged(
            f"at step {step + 1} the loss is {loss} and the gradient's norm {norm}",
            fix="lower training.learning_rate, or raise training.warmup_steps",
        )


def _padded(rows: Sequence[Sequence[int]], width: int, device: str) -> torch.Tensor:
    # Padding is never looked at: it is masked out and stands behind everything that counts.
    return torch.tensor([[*row, *([0] * (width - len(row)))] for row in rows], device=device)
