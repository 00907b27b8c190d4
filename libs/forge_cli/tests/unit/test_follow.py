"""Watching a run to its end, and leaving it before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from forge_cli.console import CALLED_OFF, FAILED, exit_code
from forge_cli.follow import RunCancelled, RunFailed, StoppedWatching, _what, follow, span
from forge_common.contracts.base import RunId, utc_now
from forge_common.contracts.runs import Hardware, RunEvent, RunKind, RunState, RunView
from forge_common.http.registry import RegistryClient


class Registry:
    """One run that ends as `state`; None: Ctrl-C comes first."""

    def __init__(self, state: RunState | None) -> None:
        self.state = state

    def events(self, _run: RunId, *, after: int) -> Iterator[RunEvent]:
        del after
        if self.state is None:
            raise KeyboardInterrupt
        return iter(())

    def run(self, run: RunId) -> RunView:
        assert self.state is not None
        return RunView(
            id=run,
            domain="nano",
            kind=RunKind.TRAIN,
            state=self.state,
            hardware=Hardware.AUTO,
            created_at=utc_now(),
            stages=(),
        )


def watch(state: RunState | None) -> Any:
    return follow(cast("RegistryClient", Registry(state)), RunId("run_1"), quiet=True)


def test_ctrl_c_says_that_the_run_goes_on_and_how_to_end_it():
    with pytest.raises(StoppedWatching, match="run_1 goes on") as left:
        watch(None)

    assert "forge runs cancel run_1" in str(left.value.fix)
    assert exit_code(left.value) == CALLED_OFF


def test_a_run_that_was_called_off_is_no_failure():
    with pytest.raises(RunCancelled) as ended:
        watch(RunState.CANCELLED)

    assert exit_code(ended.value) == CALLED_OFF
    assert "forge runs retry run_1" in str(ended.value.fix)


def test_a_run_that_failed_is_one():
    with pytest.raises(RunFailed) as ended:
        watch(RunState.FAILED)

    assert exit_code(ended.value) == FAILED


def test_a_run_that_kept_what_was_live_is_shown():
    assert watch(RunState.KEPT).state is RunState.KEPT


def test_the_time_left_is_not_what_a_narrow_terminal_cuts_off():
    event = RunEvent(
        seq=1,
        at=utc_now(),
        run_id=RunId("run_1"),
        state=RunState.TRAINING,
        event="stage.progress",
        metrics={"loss": 0.5},
        eta_s=12.0,
    )

    assert _what(event) == "12 s left · loss 0.5"


@pytest.mark.parametrize(("seconds", "said"), [(85, "85 s"), (700, "12 min"), (7500, "2 h 5 min")])
def test_a_long_time_is_told_in_hours(seconds, said):
    assert span(seconds) == said
