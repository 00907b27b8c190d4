"""Trainings whose memory runs out and that are killed with -9 as well: they go on with what they had come to."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from forge_common.testing.trainers.killing import assert_killed, assert_same, kill_from, run
from forge_common.testing.trainers.preferences import PreferringJobMaker
from forge_common.testing.trainers.shared import JobMaker, Trainer, Witness
from forge_common.testing.trainers.starved_child import CHILD, FITS, STARVE_AT
from forge_common.weights.jobs import TrainJob
from forge_common.weights.stages import Bench

AT_ONCE = 256
"""Of eight rows all tokens go at once, and half as many do not."""


def halved(job: TrainJob) -> TrainJob:
    return job.model_copy(update={"max_tokens_at_once": AT_ONCE})


class TestStarving:
    @pytest.fixture
    def starved_bench(self, tmp_path: Path, trainer: Trainer) -> Bench:
        return trainer.bench(tmp_path / "home", "http://127.0.0.1:1")

    def test_a_training_that_ran_out_of_memory_and_was_killed_ends_as_if_it_had_not_been_killed(
        self, starved_bench: Bench, make_job: JobMaker
    ) -> None:
        make = partial(make_job, epochs=5, evaluate_every=8, patience=99)
        plenty, whole, killed = (halved(make(workdir=name)) for name in ("plenty", "whole", "killed"))
        of_plenty = run(starved_bench, plenty)
        heard = Witness()
        of_whole = run(starved(starved_bench, at=STEP_10), whole, heard)
        assert said(heard) == ["memory ran out: 128 tokens at once from here on"]
        # Else nothing of this could be seen.
        assert of_whole.curve != of_plenty.curve

        # Judged, and saved, after steps 8 and 16: it goes on from before memory ran out, and from behind it.
        assert_killed(starved(starved_bench, at=STEP_10), killed, Witness(partial(kill_from, 11)))
        assert_killed(starved_bench, killed, Witness(partial(kill_from, 17)))
        resumed = Witness()
        outcome = run(starved_bench, killed, resumed)

        assert_same(outcome, of_whole)
        assert said(resumed) == []

    def test_rows_that_were_made_shorter_stay_so_after_a_kill(
        self, starved_bench: Bench, make_job: JobMaker
    ) -> None:
        rows = [(f"say {i}", "word " * 70 if i < 4 else f"{i} it is") for i in range(32)]
        make = partial(make_job, rows, epochs=12, evaluate_every=2, batch_size=32, max_seq_length=512)
        whole = run(starved(starved_bench, at=1, fits=1), make(workdir="whole"))
        assert (whole.too_long, whole.max_seq_length < 256) == (4, True)

        killed = make(workdir="killed")
        assert_killed(starved(starved_bench, at=1, fits=1), killed, Witness(partial(kill_from, 5)))
        resumed = Witness()
        outcome = run(starved_bench, killed, resumed)

        assert_same(outcome, whole)
        assert said(resumed) == []
        assert resumed.steps[0] > 1

    def test_preferences_that_ran_out_of_memory_and_were_killed_end_as_if_they_had_not_been_killed(
        self, starved_bench: Bench, make_preferring: PreferringJobMaker
    ) -> None:
        plenty, whole, killed = (
            halved(make_preferring(workdir=name)) for name in ("plenty", "whole", "killed")
        )
        of_plenty = run(starved_bench, plenty)
        of_whole = run(starved(starved_bench, at=OF_DPO), whole)
        assert of_whole.preferred != of_plenty.preferred

        assert_killed(
            starved(starved_bench, at=OF_DPO), killed, Witness(partial(kill_from, 6, message="preferences"))
        )
        resumed = Witness()

        assert_same(run(starved_bench, killed, resumed), of_whole)
        assert said(resumed) == []


def said(heard: Witness) -> list[str]:
    return [progress.message for progress in heard.seen if "memory ran out" in progress.message]


def starved(bench: Bench, *, at: int, fits: int = AT_ONCE // 2) -> Bench:
    """A bench whose child runs out of memory at the so manieth piece of work with more than `fits` tokens at once."""
    environment = {**bench.child.environment, CHILD: bench.child.module, STARVE_AT: str(at), FITS: str(fits)}
    child = replace(
        bench.child, module="forge_common.testing.trainers.starved_child", environment=environment
    )
    return replace(bench, child=child)


# Nine steps and one judgement came before it.
STEP_10 = 11
# Eight steps and two judgements of SFT, what the reference says, and a step.
OF_DPO = 14
