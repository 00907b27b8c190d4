"""Several processes on one training, here over gloo on the CPU: the same curve as one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from forge_common.queue.child import ChildDied
from forge_common.testing.trainers.shared import Silent, StopAt, Stopped, Witness, contents
from forge_common.weights.adapter import read_adapter
from forge_common.weights.jobs import TrainJob
from forge_common.weights.preferences import read_pairs
from forge_trainer_cuda.cards import Order, Task, others, shares
from forge_trainer_cuda.dpo import Policy
from forge_trainer_cuda.memory import make_room
from forge_trainer_cuda.train import train

pytestmark = pytest.mark.integration


def test_a_batch_is_shared_by_tokens_and_nobody_works_twice():
    lengths = [90, 10, 20, 30, 40, 50]

    parts = shares([0, 1, 2, 3, 4, 5], lengths, 2)

    assert sorted(parts[0] + parts[1]) == [0, 1, 2, 3, 4, 5]
    assert [sum(lengths[row] for row in part) for part in parts] == [120, 120]


def test_a_batch_of_one_row_leaves_the_other_process_without_work():
    assert shares([7], [0] * 7 + [5], 2) == [[7], []]


def test_two_processes_find_the_curve_of_one(make_job, report):
    alone = train(make_job(workdir="alone", epochs=1), report)
    job = make_job(workdir="both", epochs=1).model_copy(update={"cards": 2})

    both = train(job, report)

    assert both.steps == alone.steps
    assert [point.train_loss for point in both.curve] == pytest.approx(
        [point.train_loss for point in alone.curve], rel=1e-4
    )
    assert both.valid_loss == pytest.approx(alone.valid_loss, rel=1e-4)
    assert both.valid_loss < both.curve[0].train_loss


def test_where_the_base_is_divided_every_process_makes_as_many_passes_as_the_busiest():
    task = Task(lambda _: [0.0], lengths=[90, 10, 20, 30, 40, 50], targets=[1, 2, 3, 4, 5, 6])

    one, two = task.all_shares(Order("learn", [0, 1, 2, 3, 4, 5], 100), 2)

    assert (one.passes, two.passes) == (2, 2)
    assert one.total == two.total == 21
    assert sorted(one.rows + two.rows) == [0, 1, 2, 3, 4, 5]


# DPO's loss is of sums over whole answers, and so feels what SFT's weights differ by.
TOLERANCE = 1e-3
# Rows that share a batch unevenly, so that a process has passes with nothing in them.
DIVIDED = {"epochs": 1, "batch_size": 5}


def divide(job):
    return job.model_copy(update={"cards": 2, "sharded": True, "max_tokens_at_once": 64})


def test_two_processes_with_half_of_the_base_each_find_the_curve_of_one_and_go_on_after_a_stop(
    make_job, report
):
    alone = train(make_job(workdir="alone", **DIVIDED), report)
    both = train(divide(make_job(workdir="both", **DIVIDED)), report)
    with pytest.raises(Stopped):
        train(divide(make_job(workdir="stopped", **DIVIDED)), StopAt(5))

    resumed = train(divide(make_job(workdir="stopped", **DIVIDED)), report)

    assert [point.train_loss for point in both.curve] == pytest.approx(
        [point.train_loss for point in alone.curve], rel=1e-4
    )
    assert both.valid_loss == pytest.approx(alone.valid_loss, rel=1e-4)
    assert resumed.curve == both.curve
    ours, again, theirs = (read_adapter(Path(each.adapter)).pairs for each in (both, resumed, alone))
    assert ours.keys() == again.keys() == theirs.keys()
    for name, pair in ours.items():
        np.testing.assert_array_equal(pair.b, again[name].b)
        np.testing.assert_allclose(pair.b @ pair.a, theirs[name].b @ theirs[name].a, atol=2e-3)


@pytest.mark.parametrize("is_divided", [False, True], ids=["whole", "divided"])
def test_sft_and_then_dpo_in_two_processes_find_the_curves_of_one_and_go_on_after_a_stop(
    make_preferring, report, is_divided
):
    def job(workdir):
        made = make_preferring(workdir=workdir, batch_size=5, training=DIVIDED)
        return divide(made) if is_divided else made.model_copy(update={"cards": 2})

    alone = train(make_preferring(workdir="alone", batch_size=5, training=DIVIDED), report)
    both = train(job("both"), report)
    with pytest.raises(Stopped):
        train(job("stopped"), StopAt(6, "preferences"))
    heard = Silent()

    resumed = train(job("stopped"), heard)

    ours, theirs = both.preferred, alone.preferred
    assert (ours.pairs, ours.steps, ours.kept) == (theirs.pairs, theirs.steps, True)
    assert losses(both.curve) == pytest.approx(losses(alone.curve), rel=1e-4)
    assert losses(ours.curve) == pytest.approx(losses(theirs.curve), rel=TOLERANCE)
    assert ours.loss_after == pytest.approx(theirs.loss_after, rel=TOLERANCE)
    # Nothing of SFT is done again, and of DPO what is saved.
    assert next((each.message, each.step) for each in heard.heard) == ("preferences", 5)
    assert (resumed.preferred, resumed.curve) == (both.preferred, both.curve)
    assert contents(resumed.adapter) == contents(both.adapter)
    whole, parts = (read_adapter(Path(each.adapter)).pairs for each in (alone, both))
    assert whole.keys() == parts.keys()
    for name, pair in whole.items():
        np.testing.assert_allclose(parts[name].b @ parts[name].a, pair.b @ pair.a, atol=2e-3)


def losses(curve):
    return [loss for point in curve for loss in (point.train_loss, point.valid_loss) if loss is not None]


@pytest.mark.parametrize("is_divided", [False, True], ids=["whole", "divided"])
def test_what_two_processes_say_of_pairs_is_what_one_says(make_preferring, is_divided):
    pairs = read_pairs(make_preferring()).pairs
    job = make_preferring(batch_size=5)
    job = divide(job) if is_divided else job.model_copy(update={"cards": 2})

    said = {}
    for each in (job, make_preferring()):
        with others(each, "dpo"):
            policy = Policy(each, pairs, 0.1)
            room = make_room(64, each, Path(each.workdir), Silent())
            said[each.cards] = [policy.margins(of, room) for of in ("learned", "held out")]

    (learned, held_out), alone = said[2], said[1]
    assert (len(learned), len(held_out)) == (36, 4)
    assert learned == pytest.approx(alone[0], rel=1e-4, abs=1e-4)
    assert held_out == pytest.approx(alone[1], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("message", ["training", "preferences"])
def test_a_lost_process_ends_the_training_which_goes_on_where_it_was(make_preferring, bench, message):
    child = replace(bench.child, facts={"device": "cpu", "cards": 2, "compiled": False, "sharded": True})
    job = make_preferring(workdir="lost", training=DIVIDED)
    shared = TrainJob.model_validate(job.model_dump(include=set(TrainJob.model_fields)))
    lost = []

    def lose_one(progress):
        if (progress.message, progress.step) == (message, 6) and not lost:
            lost.append(progress)
            kill_other()

    with pytest.raises(ChildDied) as caught:
        child.run(shared, Witness(lose_one))
    assert others_of(os.getpid()) == []
    watcher = Witness()
    child.run(shared, watcher)

    assert caught.value.retryable
    first = next(each for each in watcher.seen if each.step)
    assert (first.message, first.step) == (message, 5)
    assert others_of(os.getpid()) == []


def kill_other():
    others_of(os.getpid())[0].kill()


def others_of(process):
    return [
        each
        for each in psutil.Process(process).children(recursive=True)
        if "forge_trainer_cuda.other" in " ".join(each.cmdline())
    ]
