"""The run's state machine."""

from itertools import pairwise

import pytest

from forge_common.contracts.runs import FINAL, NEXT, STAGES, RunKind, RunState


def test_every_state_has_its_transitions():
    assert set(NEXT) == set(RunState)


def test_final_states_are_the_end():
    assert all(not NEXT[state] for state in FINAL)


def test_every_unfinished_run_can_fail_and_be_cancelled():
    for state in set(RunState) - FINAL:
        assert {RunState.FAILED, RunState.CANCELLED} <= NEXT[state]


@pytest.mark.parametrize("kind", RunKind)
def test_the_stages_of_a_kind_are_a_path_from_queued_to_a_decision(kind):
    path = [RunState.QUEUED, *(state for _, state in STAGES[kind]), RunState.DECIDING, RunState.KEPT]

    for before, after in pairwise(path):
        assert after in NEXT[before]
