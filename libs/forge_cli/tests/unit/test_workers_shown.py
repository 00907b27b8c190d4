"""What `forge status` says of the machines that train."""

from datetime import UTC, datetime, timedelta

import pytest

from forge_cli.workers_shown import ago, memory, rows
from forge_common.contracts.base import RunId
from forge_common.contracts.stages import StageKind
from forge_common.contracts.workers import WorkerJob, WorkerView

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def worker(**more) -> WorkerView:
    facts = {
        "name": "trainer-cuda-box.cuda",
        "service": "trainer-cuda",
        "queues": ("train.cuda",),
        "device": "NVIDIA GeForce RTX 4070",
        "is_alive": True,
        "last_seen": NOW - timedelta(seconds=2),
        "memory_bytes": 12 << 30,
        "memory_used_bytes": 3 << 30,
    }
    return WorkerView(**(facts | more))


def training(**more) -> WorkerJob:
    facts = {"run_id": RunId("run_1"), "domain": "coding", "stage": StageKind.TRAIN, "since": NOW}
    return WorkerJob(**(facts | more))


def text(worker: WorkerView) -> str:
    return "  ".join(rows([worker], NOW)[0])


def test_card_memory_speed_and_job_stand_in_one_line():
    shown = text(worker(tokens_per_s=8123.4, job=training(step=30, of=120, eta_s=600)))

    for part in ("RTX 4070", "3.0 of 12.0 GB", "8,123 tok/s", "coding: train", "30/120 (25%)", "10 min left"):
        assert part in shown
    assert "run_1" in shown


def test_a_job_without_steps_says_what_it_is_at():
    assert "fetching dataset and base model" in text(
        worker(job=training(message="fetching dataset and base model"))
    )


def test_a_worker_that_waits_says_so_and_invents_no_speed():
    shown = text(worker())

    assert "waiting" in shown
    assert "tok/s" not in shown


def test_a_silent_worker_says_since_when_and_no_memory_that_is_long_out_of_date():
    shown = text(worker(is_alive=False, last_seen=NOW - timedelta(hours=3)))

    assert "silent[/] 3 h" in shown
    assert "12.0 GB" in shown
    assert " of " not in shown


def test_workers_that_do_not_train_are_left_out_and_the_living_come_first():
    found = rows(
        [
            worker(name="a-dead", is_alive=False),
            worker(name="z-alive"),
            worker(name="evaluator", queues=("evaluate",)),
        ],
        NOW,
    )

    assert [row[0] for row in found] == ["z-alive", "a-dead"]


def test_unknown_memory_is_not_zero():
    assert memory(None, 0) == ""
    assert memory(None, 8 << 30) == "8.0 GB"


@pytest.mark.parametrize(("seconds", "shown"), [(-3, "0 s"), (59, "59 s"), (90, "2 min"), (90_000, "1 d")])
def test_a_length_of_time_has_one_unit(seconds, shown):
    assert ago(seconds) == shown
