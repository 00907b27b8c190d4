from __future__ import annotations

from forge_common.contracts.tasks import EVALUATE
from forge_evaluator import worker
from forge_evaluator.sandbox import NoSandbox
from forge_evaluator.settings import Settings


def test_it_consumes_its_queue_and_handles_its_task(tmp_path):
    app = worker.build("memory://", Settings(home=tmp_path), NoSandbox("none"))

    assert EVALUATE.name in app.tasks
    assert [queue.name for queue in app.conf.task_queues] == [EVALUATE.queue]


def test_a_machine_without_walls_says_so_when_it_joins(tmp_path, monkeypatch):
    def refuse():
        raise NoSandbox("none")

    monkeypatch.setattr(worker, "probe", refuse)
    tier = worker.find_tier()

    assert worker.introduce(Settings(home=tmp_path), tier).device == "no sandbox: refuses code"
