"""Trainings that are killed with -9, again and again, and go on to what they would have come to without."""

from __future__ import annotations

import random
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from forge_common.contracts.stages import Progress
from forge_common.queue.child import ChildDied
from forge_common.queue.stage import Beat
from forge_common.testing.trainers.killed_child import CHILD, FOLDER, KILL_AT
from forge_common.testing.trainers.preferences import PreferringJobMaker
from forge_common.testing.trainers.shared import JobMaker, Trainer, Witness, contents, nano_domain
from forge_common.weights.jobs import TrainJob, TrainOutcome
from forge_common.weights.stages import Bench

SEED = 20


def pick() -> random.Random:
    return random.Random(SEED)  # noqa: S311  steps to kill at, no secret


class TestKilling:
    @pytest.fixture
    def killed_bench(self, tmp_path: Path, trainer: Trainer) -> Bench:
        return trainer.bench(tmp_path / "home", "http://127.0.0.1:1")

    def test_a_training_that_is_killed_at_random_steps_ends_as_if_it_had_not_been(
        self, killed_bench: Bench, make_job: JobMaker
    ) -> None:
        make = partial(make_job, epochs=10, evaluate_every=3, patience=99)
        whole = run(killed_bench, make(workdir="whole"))
        job = make(workdir="killed")

        # The last steps are left alone: the child is through with them before the kill comes.
        for step in sorted(pick().sample(range(1, whole.steps - 8), 4)):
            assert_killed(killed_bench, job, Witness(partial(kill_from, step)))

        assert_same(run(killed_bench, job), whole)

    @pytest.mark.parametrize(
        ("what", "kills"), [("lora", 2), ("dora", 1), ("qlora", 1), ("preferences", 1)], ids=str
    )
    def test_a_training_that_is_killed_within_a_checkpoint_ends_as_if_it_had_not_been(
        self,
        killed_bench: Bench,
        make_job: JobMaker,
        make_preferring: PreferringJobMaker,
        what: str,
        kills: int,
    ) -> None:
        def job(workdir: str) -> TrainJob:
            if what == "preferences":
                return make_preferring(workdir=workdir)
            return make_job(workdir=workdir, method=what, epochs=4)

        whole = run(_dying(killed_bench, job("whole"), at=0), job("whole"))
        events = Path(f"{job('whole').workdir}.events").stat().st_size

        # Where there is something to go on from, and something left to do.
        for at in pick().sample(range(events // 2 + 1, 3 * events // 4 + 1), kills):
            killed = job(f"killed-{at}")
            dying, resumed = Witness(), Witness()
            assert_killed(_dying(killed_bench, killed, at=at), killed, dying)
            assert_same(run(killed_bench, killed, resumed), whole)
            _assert_nothing_saved_was_lost(dying, resumed)
            assert resumed.steps[0] > 1


def run(bench: Bench, job: TrainJob, beat: Beat | None = None) -> TrainOutcome:
    return TrainOutcome.model_validate(bench.child.run(job, beat or Beat()))


def assert_killed(bench: Bench, job: TrainJob, beat: Beat) -> None:
    with pytest.raises(ChildDied) as caught:
        bench.child.run(job, beat)
    assert caught.value.signal is signal.SIGKILL
    assert caught.value.retryable


def assert_same(outcome: TrainOutcome, whole: TrainOutcome) -> None:
    """To the last bit, figures and weights."""
    varying = {"adapter", "seconds", "peak_memory_bytes"}
    assert outcome.model_dump(exclude=varying) == whole.model_dump(exclude=varying)
    assert contents(outcome.adapter) == contents(whole.adapter)


def _assert_nothing_saved_was_lost(dying: Witness, resumed: Witness) -> None:
    """A step that was heard of came after the checkpoint of the evaluation before it."""
    every = nano_domain().training.evaluate_every
    heard, again = (
        [progress.step for progress in witness.seen if progress.step and progress.message == "training"]
        for witness in (dying, resumed)
    )
    saved = (max(heard, default=1) - 1) // every * every
    assert not again or again[0] > saved


def kill_from(step: int, progress: Progress, message: str = "training") -> None:
    """Kill the child when it comes to `step`, or goes on behind it."""
    if progress.message == message and progress.step is not None and progress.step >= step:
        for child in psutil.Process().children():
            child.kill()


def _dying(bench: Bench, job: TrainJob, *, at: int) -> Bench:
    """A bench whose child kills itself before the so manieth thing that it does to files of `job`; 0: counts them."""
    environment = {
        **bench.child.environment,
        CHILD: bench.child.module,
        FOLDER: job.workdir,
        KILL_AT: str(at),
    }
    child = replace(bench.child, module="forge_common.testing.trainers.killed_child", environment=environment)
    return replace(bench, child=child)
