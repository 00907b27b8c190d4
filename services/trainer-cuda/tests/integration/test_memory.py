"""Memory that really runs out: the child's budget is a limit of the kernel's."""

from __future__ import annotations

import sys

import pytest

from forge_common import nano
from forge_common.contracts.stages import Progress
from forge_common.queue.child import ChildFailed
from forge_common.queue.stage import Beat
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.room import OutOfMemory

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a limit of its memory"),
]

RULES = {"batch_size": 24, "iterations": 1, "evaluate_every": 2, "max_seq_length": 256}
LONG = [(f"say {i}", "word " * 180) for i in range(24)]


class Heard(Beat):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.messages.append(progress.message)


def trained(bench, job) -> tuple[TrainOutcome, list[str]]:
    beat = Heard()
    return TrainOutcome.model_validate(bench.child.run(job, beat)), beat.messages


def test_a_batch_that_does_not_fit_is_trained_on_in_smaller_pieces_to_the_same_loss(bench, make_job):
    def job(workdir, **rules):
        made = make_job(train=LONG, valid=LONG[:2], base=nano.base_dir(), workdir=workdir, **RULES | rules)
        return made.model_copy(update={"max_tokens_at_once": 16_384})

    whole, said_nothing = trained(bench, job("whole"))
    pieces, said = trained(bench, job("pieces", max_memory_gb=0.65))

    assert not any("memory" in message for message in said_nothing)
    # Below Python it aborts the child, which the worker starts again with half.
    assert any(message.startswith("memory ran out") and "tokens at once" in message for message in said), said
    assert pieces.max_seq_length == whole.max_seq_length
    assert [point.train_loss for point in pieces.curve] == pytest.approx(
        [point.train_loss for point in whole.curve], rel=1e-4
    )


def test_where_nothing_fits_the_run_says_so_and_what_would(bench, make_job):
    job = make_job(train=LONG, valid=[], base=nano.base_dir(), **RULES | {"max_memory_gb": 0.05})

    # Memory that runs out below Python ends the child; then it is the worker that has tried less and less.
    with pytest.raises((ChildFailed, OutOfMemory)) as caught:
        trained(bench, job)

    assert caught.value.code == "out_of_memory"
    assert "qlora" in str(caught.value.fix)


def test_where_no_whole_row_fits_shorter_ones_are_tried(bench, make_job, tmp_path):
    base = write_tiny_model(tmp_path / "wide", max_position_embeddings=16_384, intermediate_size=4096)
    rows = [(f"say {i}", f"{i} it is") for i in range(5)] + [(f"say {i}", "word " * 1200) for i in range(3)]
    rules = RULES | {"max_seq_length": 16_384, "max_memory_gb": 0.75}

    outcome, said = trained(bench, make_job(train=rows, valid=[], base=base, **rules))

    assert any(message.startswith("memory ran out: rows of at most") for message in said)
    assert outcome.too_long == 3
    assert outcome.max_seq_length < 16_384
