"""Several processes on one training, here over gloo on the CPU: the same curve as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forge_common.weights.adapter import read_adapter
from forge_trainer_cuda.cards import Order, Task, shares
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
    task = Task(lambda share: 0.0, lengths=[90, 10, 20, 30, 40, 50], targets=[1, 2, 3, 4, 5, 6])

    one, two = task.all_shares(Order("learn", [0, 1, 2, 3, 4, 5], 100), 2)

    assert (one.passes, two.passes) == (2, 2)
    assert one.total == two.total == 21
    assert sorted(one.rows + two.rows) == [0, 1, 2, 3, 4, 5]


# Rows that share a batch unevenly, so that a process has passes with nothing in them.
DIVIDED = {"epochs": 1, "batch_size": 5}


def test_two_processes_with_half_of_the_base_each_find_the_curve_of_one_with_all(make_job, report):
    alone = train(make_job(workdir="alone", **DIVIDED), report)
    divided = {"cards": 2, "sharded": True, "max_tokens_at_once": 64}
    job = make_job(workdir="both", **DIVIDED).model_copy(update=divided)

    both = train(job, report)

    assert [point.train_loss for point in both.curve] == pytest.approx(
        [point.train_loss for point in alone.curve], rel=1e-4
    )
    assert both.valid_loss == pytest.approx(alone.valid_loss, rel=1e-4)
    ours, theirs = (read_adapter(Path(each.adapter)).pairs for each in (both, alone))
    assert ours.keys() == theirs.keys()
    for name, pair in ours.items():
        np.testing.assert_allclose(pair.b @ pair.a, theirs[name].b @ theirs[name].a, atol=2e-3)
