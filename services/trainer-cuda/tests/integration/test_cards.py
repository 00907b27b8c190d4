"""Several processes on one training, here over gloo on the CPU: the same curve as one."""

from __future__ import annotations

import pytest

from forge_trainer_cuda.cards import shares
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
