"""What `forge status` says of capture."""

from typing import Any

import pytest

from forge_cli.commands import stack
from forge_cli.commands.stack import DoorClosed, StoppedWaiting, check_door
from forge_cli.installation import Installation
from forge_cli.loop_shown import capture_lines
from forge_cli.stack.state import StackState


def health(**more: Any) -> dict[str, Any]:
    fine = {
        "status": "ok",
        "reasons": {},
        "backlog_bytes": 0,
        "backlog_s": 0.0,
        "lost": {},
        "dropped": {},
        "rejected": 0,
    }
    return fine | more


def test_capture_that_works_is_one_line():
    assert capture_lines(health()) == ["capture [green]ok[/]"]


def test_what_waits_is_shown_with_its_age_and_the_reason():
    shown = "\n".join(
        capture_lines(
            health(
                status="degraded",
                reasons={"postgres_down": "Postgres is away"},
                backlog_bytes=12_300_000,
                backlog_s=34.2,
            )
        )
    )

    assert "12.3 MB" in shown
    assert "34 s" in shown
    assert "Postgres is away" in shown


def test_what_was_lost_is_shown_even_when_all_is_well_again_and_counted_once():
    shown = "\n".join(capture_lines(health(lost={"spool": 5, "too_large": 2}, dropped={"disk_full": 5})))

    assert "7 exchanges were not kept" in shown
    assert "disk_full 5" in shown
    assert "too_large 2" in shown


def test_a_stack_that_runs_without_its_door_is_not_called_open(tmp_path, monkeypatch):
    here = Installation(tmp_path)
    monkeypatch.setenv("FORGE_TLS", "1")

    with pytest.raises(DoorClosed, match="this machine alone"):
        check_door(here, StackState(expected=["registry"]))

    check_door(here, StackState(expected=["registry", "door"]))
    monkeypatch.delenv("FORGE_TLS")
    check_door(here, StackState(expected=["registry"]))


def test_with_tls_the_parts_themselves_stay_on_loopback(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_BIND", "0.0.0.0")
    assert Installation(tmp_path).listens_on == "0.0.0.0"

    monkeypatch.setenv("FORGE_TLS", "1")
    assert Installation(tmp_path).listens_on == "127.0.0.1"


def test_ctrl_c_while_the_stack_starts_says_that_it_goes_on(tmp_path, monkeypatch):
    def is_interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "bring_up", is_interrupted)

    with pytest.raises(StoppedWaiting, match="goes on starting") as stopped:
        stack.start(Installation(tmp_path))

    assert "forge down" in str(stopped.value.fix)
