"""A budget that is too small for the run as asked: measured in real trainings."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from forge_common.contracts.stages import Progress
from forge_common.queue.child import ChildFailed
from forge_common.queue.stage import Beat
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.room import OutOfMemory
from forge_trainer_mlx.train import train

pytestmark = pytest.mark.integration

RULES = {"batch_size": 24, "iterations": 1, "evaluate_every": 2, "max_seq_length": 600}
LONG = [(f"say {i}", "word " * 40) for i in range(24)]
"""Of 215 tokens, and 6 MiB at the peak of a row by itself."""
VERY_LONG = [(f"say {i}", "word " * 90) for i in range(3)]
"""Of 465 tokens, and 20 MiB."""


def said(report) -> list[str]:
    return [progress.message for progress in report.heard if "memory" in progress.message]


def test_a_batch_that_does_not_fit_is_trained_on_in_smaller_pieces_to_the_same_loss(make_job, report):
    def job(workdir, **rules):
        made = make_job(train=LONG, valid=LONG[:2], workdir=workdir, **RULES | rules)
        return made.model_copy(update={"max_tokens_at_once": 16_384})

    whole = train(job("whole"), report)
    assert said(report) == []
    pieces = train(job("pieces", max_memory_gb=0.05), report)

    assert said(report)[-1] == "memory ran out: 1024 tokens at once from here on"
    assert pieces.max_seq_length == whole.max_seq_length
    assert [point.train_loss for point in pieces.curve] == pytest.approx(
        [point.train_loss for point in whole.curve], rel=1e-4
    )


def test_where_no_whole_row_fits_shorter_ones_are_tried(make_job, report):
    outcome = train(make_job(train=LONG + VERY_LONG, **RULES | {"max_memory_gb": 0.015}), report)

    assert said(report)[0] == "memory ran out: rows of at most 232 tokens"
    assert (outcome.max_seq_length, outcome.too_long) == (232, 3)


def test_where_nothing_fits_the_run_says_so_and_what_would(bench, make_job):
    with pytest.raises(ChildFailed, match="tiny does not fit into memory") as caught:
        bench.child.run(make_job(max_memory_gb=0.0001), Beat())

    assert caught.value.code == "out_of_memory"
    assert "qlora" in caught.value.fix


class Killer(Beat):
    """Ends the child as mlx does when memory runs out below Python, each time training comes to `step`."""

    def __init__(self, step: int, times: int) -> None:
        super().__init__()
        self._step, self._times = step, times
        self.messages: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.messages.append(progress.message)
        if progress.step == self._step and self._times:
            self._times -= 1
            (child,) = psutil.Process().children()
            os.kill(child.pid, signal.SIGABRT)


def test_a_child_that_mlx_ends_goes_on_with_half_of_the_tokens_at_once(bench, make_job):
    beat = Killer(6, times=1)

    outcome = TrainOutcome.model_validate(bench.child.run(make_job(), beat))

    assert outcome.steps == 8
    assert "mlx ended the process (SIGABRT): going on with 2048 tokens at once" in beat.messages


def test_a_child_that_mlx_ends_again_and_again_is_given_up_with_what_would_help(bench, make_job):
    job = make_job().model_copy(update={"max_tokens_at_once": 300})

    with pytest.raises(OutOfMemory, match="SIGABRT") as caught:
        bench.child.run(job, Killer(1, times=9))

    assert "qlora" in str(caught.value.fix)
