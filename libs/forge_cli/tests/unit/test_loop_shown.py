"""What `forge status` says was captured, and what it proposes to do next."""

from __future__ import annotations

from typing import Any

import pytest

from forge_cli import clients
from forge_cli.loop_shown import ask, captured, next_step
from forge_common import domains
from forge_common.contracts.base import RunId, utc_now
from forge_common.contracts.runs import Hardware, RunKind, RunState, RunView
from forge_common.errors import RemoteProblem

COLLECTOR = "http://127.0.0.1:18794"


def data(exchanges: int, usable: int, new: int) -> dict[str, Any]:
    half = exchanges // 2
    return {
        "exchanges": [
            {"domain": "legal", "origin": "proxy", "exchanges": half, "usable": usable},
            {"domain": "legal", "origin": "import", "exchanges": exchanges - half, "usable": 0},
        ],
        "unused": [{"domain": "legal", "usable": new}],
    }


def status(exchanges: int, usable: int, new: int, *runs: RunView) -> dict[str, Any]:
    found = {"domain": "legal", "document": domains.load("legal"), "runs": runs}
    return found | {"data": data(exchanges, usable, new)}


def run(state: RunState) -> RunView:
    return RunView(
        id=RunId("run_1"),
        domain="legal",
        kind=RunKind.TRAIN,
        state=state,
        hardware=Hardware.AUTO,
        created_at=utc_now(),
        stages=(),
    )


def test_what_was_captured_is_one_line_a_domain_whatever_way_it_came():
    assert list(captured(data(1200, 900, 70))) == [
        "captured 1,200 exchanges of legal, 900 trainable, 70 of them new since the last training"
    ]


def test_nothing_captured_points_at_the_collector():
    step = next_step(status(0, 0, 0) | {"data": {"exchanges": [], "unused": []}}, COLLECTOR)

    assert COLLECTOR in str(step)
    assert "forge data import" in str(step)


def test_too_little_says_how_much_a_training_needs():
    assert "needs 50 examples at least, and legal has 12" in str(next_step(status(20, 12, 12), COLLECTOR))


def test_enough_that_is_new_proposes_a_training():
    assert "`forge train`" in str(next_step(status(400, 300, 120), COLLECTOR))


def test_little_that_is_new_proposes_nothing():
    assert next_step(status(400, 300, 3), COLLECTOR) is None


@pytest.mark.parametrize("state", [RunState.TRAINING, RunState.QUEUED])
def test_a_run_under_way_is_to_be_watched_rather_than_started_again(state):
    assert "forge runs attach run_1" in str(next_step(status(400, 300, 120, run(state)), COLLECTOR))


def test_a_run_that_ended_is_not_watched():
    assert "forge train" in str(next_step(status(400, 300, 120, run(RunState.FAILED)), COLLECTOR))


def test_where_the_services_are_away_nothing_is_proposed():
    assert next_step({"unreachable": ["…"]}, COLLECTOR) is None


def test_a_service_that_refuses_the_key_is_said_once_and_asked_no_more(monkeypatch):
    class Refuses:
        def __getattr__(self, _: str) -> Any:
            def refuse(*_: Any) -> None:
                raise RemoteProblem("the key is not known here", status=401)

            return refuse

    monkeypatch.setattr(clients, "registry", Refuses)
    monkeypatch.setattr(clients, "CollectorClient", Refuses)

    assert ask() == {"unreachable": ["the key is not known here"] * 2}
