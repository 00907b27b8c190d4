"""How many blocks keep their activations, from what one pass took."""

from __future__ import annotations

import pytest

from forge_trainer_cuda.recompute import Pass, blocks_that_keep

GB = 10**9
# 4,000 tokens: weights of 15 GB, 5 GB on top of them at the peak, 1 GB of that one block's.
SEEN = Pass(tokens=4000, resting=15 * GB, peak=20 * GB, kept=GB)


@pytest.mark.parametrize(
    ("budget", "most_tokens", "expected"),
    [
        (20 * GB, 4000, 1),  # just what it took
        (24 * GB, 4000, 5),
        (100 * GB, 4000, 28),  # all of them
        (19 * GB, 4000, 0),
        (25 * GB, 8000, 1),  # twice the tokens take twice as much on top
        (33 * GB, 8000, 5),
        (20 * GB, 8000, 0),
    ],
)
def test_as_many_blocks_keep_as_the_budget_holds_with_the_most_tokens_at_once(budget, most_tokens, expected):
    assert blocks_that_keep(SEEN, budget, most_tokens, blocks=28) == expected


def test_a_pass_that_kept_nothing_is_no_division_by_zero():
    assert blocks_that_keep(Pass(10, 0, 0, 0), GB, 10, blocks=4) == 4
