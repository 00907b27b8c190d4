"""What a training keeps besides weights."""

from __future__ import annotations

import pytest

from forge_common.contracts.domain import TrainingRules
from forge_common.weights.training import Course, Standing, TrainingDiverged, check_finite

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
