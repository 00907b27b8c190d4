"""The collector's queue worker. Runs beside the collector, or anywhere else that reaches its Postgres."""

from __future__ import annotations

import platform
from importlib.metadata import version

from celery import Celery

from forge_collector import tasks
from forge_collector.settings import Settings
from forge_common.contracts.tasks import PREPARE
from forge_common.contracts.workers import WorkerHello
from forge_common.queue.worker import make_worker, run_worker

SERVICE = "collector"
QUEUES = (PREPARE.queue,)


def run(settings: Settings) -> None:
    """Consume until a signal."""
    hello = WorkerHello(
        name=f"{SERVICE}@{platform.node()}",
        service=SERVICE,
        queues=QUEUES,
        versions={"forge-collector": version("forge-collector")},
    )

    def build(broker_url: str) -> Celery:
        app = make_worker(SERVICE, broker_url, QUEUES)
        tasks.register(app, settings, hello.name)
        return app

    run_worker(hello, settings, build)
