"""What a training keeps besides weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from forge_common.contracts.domain import DpoRules, TrainingRules
from forge_common.contracts.stages import Progress
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.jobs import TrainJob
from forge_common.weights.preferences import rules_for
from forge_common.weights.room import OutOfMemory, RowsTooLong
from forge_common.weights.training import Course, Framework, Standing, TrainingDiverged, check_finite, train

START = Standing(job="a")


def run(valid_losses, *, steps, standing=START):
    """Steps of ten tokens, judged every second time."""
    course = Course(standing, TrainingRules(evaluate_every=2, patience=2), steps)
    saved, losses = [], iter(valid_losses)
    for done in range(standing.step + 1, steps + 1):
        course.count(done, float(done), 10, 0)
        if course.judge(done, lambda: next(losses)):
            saved.append(course.standing)
        if course.standing.is_over:
            break
    return saved


def test_the_best_evaluation_is_kept_and_patience_ends_the_training():
    saved = run([3.0, 2.0, 2.5, 2.0], steps=100)

    assert [standing.best_step for standing in saved] == [2, 4, 4, 4]
    assert (saved[-1].step, saved[-1].best_loss, saved[-1].is_over) == (8, 2.0, True)


def test_a_training_that_goes_on_ends_as_if_it_had_never_stopped():
    whole = run([3.0, 2.0, 1.0], steps=5)

    resumed = run([2.0, 1.0], steps=5, standing=whole[0])

    assert [s.model_dump(exclude={"seconds"}) for s in resumed] == [
        s.model_dump(exclude={"seconds"}) for s in whole[1:]
    ]
    assert (whole[-1].tokens, whole[-1].is_over) == (50, True)


def test_a_loss_that_is_no_number_stops_the_training():
    with pytest.raises(TrainingDiverged, match="step 4") as caught:
        check_finite(float("nan"), 1.0, 3)

    assert "learning_rate" in caught.value.fix


def test_a_validation_loss_that_is_no_number_stops_the_training():
    with pytest.raises(TrainingDiverged, match="after step 4 the validation loss is nan"):
        run([3.0, float("nan")], steps=10)


def test_the_peak_of_memory_outlives_a_kill():
    course = Course(START, TrainingRules(evaluate_every=1), 2)
    course.count(1, 1.0, 10, 7000)
    course.judge(1, lambda: 1.0)

    resumed = Course(course.standing, TrainingRules(evaluate_every=1), 2)
    resumed.count(2, 1.0, 10, 3000)
    resumed.judge(2, lambda: 1.0)

    assert resumed.standing.peak_memory_bytes == 7000


class Ladder:
    """A trainer whose rows fit up to a length."""

    def __init__(self, fits: int, error: Callable[[int], Exception] = RowsTooLong) -> None:
        self._fits, self._error = fits, error
        self.tried: list[int] = []
        self.workdirs: list[str] = []
        self.released = 0

    def fine_tune(self, job: TrainJob, _report: object) -> str:
        limit = job.rules.max_seq_length
        self.tried.append(limit)
        self.workdirs.append(job.workdir)
        if limit > self._fits:
            raise self._error(limit)
        return "trained"

    def release(self) -> None:
        self.released += 1

    def train(self, folder: Path) -> str:
        framework = Framework(
            "cpu", self.fine_tune, None, lambda error: "no room" in str(error), self.release
        )
        job = TrainJob(
            base=str(write_tiny_model(folder / "base", max_position_embeddings=4096)),
            base_name="tiny",
            train="",
            valid="",
            system_prompt="",
            rules=TrainingRules(max_seq_length=2000),
            workdir=str(folder / "work"),
            max_tokens_at_once=4096,
        )
        return train(job, Heard(), framework)


class Heard:
    def progress(self, progress: Progress) -> None:
        assert "memory ran out: rows of at most" in progress.message


def test_where_a_row_does_not_fit_shorter_ones_are_tried_in_folders_of_their_own(tmp_path):
    ladder = Ladder(fits=600)

    assert ladder.train(tmp_path) == "trained"

    assert ladder.tried == [2000, 1000, 500]
    relative = [Path(workdir).relative_to(tmp_path).as_posix() for workdir in ladder.workdirs]
    assert relative == ["work", "work/rows-1000", "work/rows-1000/rows-500"]
    assert ladder.released == 2


def test_memory_that_runs_out_between_batches_shortens_rows_too(tmp_path):
    ladder = Ladder(fits=600, error=lambda _: RuntimeError("no room for the optimizer"))

    assert ladder.train(tmp_path) == "trained"
    assert ladder.tried == [2000, 1000, 500]


def test_where_no_length_fits_the_run_says_what_would(tmp_path):
    with pytest.raises(OutOfMemory, match="single row of 250 tokens") as caught:
        Ladder(fits=100).train(tmp_path)

    assert "by lora 0.4 GiB, by qlora 0.4 GiB, for rows of 128 tokens" in str(caught.value.fix)


def test_an_error_of_another_kind_is_no_lack_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"):
        Ladder(fits=100, error=lambda _: RuntimeError("shapes differ")).train(tmp_path)


def test_dpo_has_what_sft_left_of_the_time():
    rules = TrainingRules(max_seconds=100)

    assert rules_for(rules, DpoRules(), 60.0).max_seconds == 40
    assert 0 < rules_for(rules, DpoRules(), 300.0).max_seconds < 1
    assert rules_for(TrainingRules(), DpoRules(), 60.0).max_seconds is None
