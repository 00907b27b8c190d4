"""What every training is besides weights: its two stages, where it stands, what it has measured, when it is over."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from forge_common.contracts.base import Contract
from forge_common.contracts.domain import TrainingRules
from forge_common.contracts.stages import CurvePoint, Progress
from forge_common.errors import ForgeError
from forge_common.weights.checkpoint import model_config
from forge_common.weights.estimate import Kind, would_fit
from forge_common.weights.halvings import as_it_was, with_rows_of
from forge_common.weights.jobs import TrainJob, TrainOutcome
from forge_common.weights.room import OutOfMemory, RowsTooLong, shorter
from forge_common.weights.rows import EncodedRows, TokenRow, load_preferences, row_limit, training_rows
from forge_common.weights.tokenizer import ChatTokenizer

J = TypeVar("J", bound=TrainJob)

# Enough for a steady curve; more would only delay the next step.
CURVE_POINTS = 100
BETAS = (0.9, 0.98)
MAX_GRADIENT = 1.0
CALMER = "lower training.learning_rate, or raise training.warmup_steps"


class TrainingDiverged(ForgeError):
    """The loss is no number any more."""


class Reports(Protocol):
    def progress(self, progress: Progress) -> None: ...


@dataclass(frozen=True, slots=True)
class Framework(Generic[J]):
    """What a trainer brings to a training: SFT, DPO on top of its outcome (both may raise RowsTooLong), and its memory.

    `release` gives back what nothing refers to any more.
    """

    kind: Kind
    fine_tune: Callable[[J, Reports], TrainOutcome]
    prefer: Callable[[J, TrainOutcome, Reports], TrainOutcome]
    is_out_of_memory: Callable[[BaseException], bool]
    release: Callable[[], None]


def train(job: J, report: Reports, framework: Framework[J]) -> TrainOutcome:
    """Train, or go on where a killed training of the same job stopped; with shorter rows where memory is too small.

    SFT first and, where there are preferences, DPO on top. On the CPU the outcome is the same to the last bit, killed or
    not. Raises NothingToTrainOn, TrainingDiverged, OutOfMemory.
    """
    try:
        return _in_less_and_less_memory(job, report, framework)
    except OutOfMemory as error:
        enough = would_fit(model_config(Path(job.base)), job.rules, framework.kind)
        raise OutOfMemory(error.message, fix=f"{error.fix}; {enough}") from error


def _in_less_and_less_memory(job: J, report: Reports, framework: Framework[J]) -> TrainOutcome:
    job = as_it_was(job)
    while True:
        try:
            return _both_stages(job, report, framework)
        except RowsTooLong as error:
            longest = error.longest
        except (RuntimeError, MemoryError) as error:
            if not framework.is_out_of_memory(error):
                raise
            # Between the batches, where fewer tokens at once are no help.
            longest = row_limit(job)
        # Outside of the handlers, which keep the model alive.
        framework.release()
        limit = shorter(longest, job.rules.max_seq_length)
        report.progress(Progress(message=f"memory ran out: rows of at most {limit} tokens"))
        job = with_rows_of(job, limit)


def _both_stages(job: J, report: Reports, framework: Framework[J]) -> TrainOutcome:
    if job.preferences and job.rules.dpo:
        load_preferences(Path(job.preferences))  # what is wrong with them is said before hours of SFT
    outcome = framework.fine_tune(job, report)
    if not (job.preferences and job.rules.dpo):
        return outcome
    # DPO loads the base anew: two do not fit where one hardly did.
    framework.release()
    return framework.prefer(job, outcome, report)


def read_rows(job: TrainJob, report: Reports) -> tuple[EncodedRows, Sequence[TokenRow]]:
    """`training_rows`, with a word on those that are too long. Raises NothingToTrainOn."""
    encoded, valid = training_rows(job, ChatTokenizer(Path(job.base)))
    if encoded.split or encoded.too_long:
        report.progress(
            Progress(
                message=f"rows have at most {encoded.max_tokens} tokens: {encoded.split} conversations are split between "
                f"turns, {encoded.too_long} turns are too long and left out"
            )
        )
    return encoded, valid


class Standing(Contract):
    """What is known after `step` steps. `job` names the request: a checkpoint of another one is ignored."""

    job: str
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: tuple[CurvePoint, ...] = ()
    best_step: int = 0
    best_loss: float | None = None
    stale: int = 0
    """Evaluations since the best one."""
    is_over: bool = False
    peak_memory_bytes: int = 0

    def judged(self, step: int, valid_loss: float | None, patience: int, *, is_last: bool) -> Standing:
        """Without validation rows the newest weights are the best known."""
        is_best = valid_loss is None or self.best_loss is None or valid_loss < self.best_loss
        stale = 0 if is_best else self.stale + 1
        update: dict[str, object] = {"step": step, "stale": stale, "is_over": is_last or stale >= patience}
        return self.model_copy(
            update=update | ({"best_step": step, "best_loss": valid_loss} if is_best else {})
        )

    def outcome(self, adapter: Path, rows: EncodedRows, *, peak_memory_bytes: int) -> TrainOutcome:
        best = next(point for point in self.curve if point.step == self.best_step)
        assert best.train_loss is not None
        return TrainOutcome(
            adapter=str(adapter),
            curve=self.curve,
            steps=self.step,
            best_step=self.best_step,
            train_loss=best.train_loss,
            valid_loss=self.best_loss,
            tokens=self.tokens,
            seconds=self.seconds,
            peak_memory_bytes=max(peak_memory_bytes, self.peak_memory_bytes),
            split=rows.split,
            too_long=rows.too_long,
            max_seq_length=rows.max_tokens,
        )


class Course:
    """A training on its way from `standing` to its last step: a kill loses what came after the last evaluation."""

    def __init__(self, standing: Standing, rules: TrainingRules, steps: int) -> None:
        self.standing = standing
        self._rules, self._steps = rules, steps
        self._before = standing
        self._started = time.monotonic()
        self._tokens = 0
        self._peak_bytes = standing.peak_memory_bytes
        self._losses: list[float] = []

    @property
    def _seconds(self) -> float:
        """Those of before a kill included."""
        return self._before.seconds + time.monotonic() - self._started

    def count(self, done: int, loss: float, tokens: int, memory_bytes: int) -> Progress:
        """Count a step that ends as the `done`th; speed is that of this process alone."""
        self._losses.append(loss)
        self._tokens += tokens
        self._peak_bytes = max(self._peak_bytes, memory_bytes)
        elapsed = time.monotonic() - self._started
        metrics = {
            "loss": loss,
            "tokens_per_s": self._tokens / max(elapsed, 1e-9),
            "memory_bytes": float(memory_bytes),
        }
        eta_s = elapsed / max(1, done - self._before.step) * (self._steps - done)
        return self.told(
            Progress(message="training", step=done, of=self._steps, eta_s=eta_s, metrics=metrics)
        )

    def told(self, progress: Progress) -> Progress:
        """With the newest validation loss, where there is one."""
        judged = [point.valid_loss for point in self.standing.curve if point.valid_loss is not None]
        newest = {"valid_loss": judged[-1]} if judged else {}
        return progress.model_copy(update={"metrics": progress.metrics | newest})

    def judge(self, done: int, evaluate: Callable[[], float | None]) -> bool:
        """Add to the curve; every `evaluate_every` steps and after the last also validate. Says whether to save.

        The last is also the one at which the time that the rules allow is up.
        """
        is_last = done == self._steps or self._seconds >= (self._rules.max_seconds or math.inf)
        is_judged = done % self._rules.evaluate_every == 0 or is_last
        if not is_judged and done % max(1, self._steps // CURVE_POINTS):
            return False
        valid_loss = evaluate() if is_judged else None
        if valid_loss is not None and not math.isfinite(valid_loss):
            raise TrainingDiverged(f"after step {done} the validation loss is {valid_loss}", fix=CALMER)
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        point = CurvePoint(step=done, train_loss=mean, valid_loss=valid_loss)
        # What was before a kill is counted in.
        facts = {
            "curve": (*self.standing.curve, point),
            "tokens": self._before.tokens + self._tokens,
            "seconds": self._seconds,
            "peak_memory_bytes": self._peak_bytes,
        }
        self.standing = self.standing.model_copy(update=facts)
        if is_judged:
            self.standing = self.standing.judged(done, valid_loss, self._rules.patience, is_last=is_last)
        return is_judged


def check_finite(loss: float, norm: float, step: int) -> None:
    """`norm` is the gradient's; `step` counts from 0. Raises TrainingDiverged."""
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingDiverged(
            f"at step {step + 1} the loss is {loss} and the gradient's norm {norm}",
            fix=CALMER,
        )


def process_memory_bytes() -> int:
    """The most that this process had in use."""
    # macOS counts bytes, Linux kibibytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
