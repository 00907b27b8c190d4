"""The collector's queue worker. Runs beside the collector, or anywhere else that reaches its Postgres."""

from __future__ import annotations

import platform
from importlib.metadata import version

from celery import Celery
from celery.beat import EmbeddedService, Scheduler

from forge_collector import tasks
from forge_collector.settings import Settings
from forge_common.contracts.tasks import PREPARE, SHADOW, Tick
from forge_common.contracts.workers import WorkerHello
from forge_common.queue.celery import make_celery
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
        EmbeddedService(_schedule(broker_url, settings), thread=True, scheduler_cls=Scheduler).start()
        return app

    run_worker(hello, settings, build, concurrency=settings.worker_threads)


def _schedule(broker_url: str, settings: Settings) -> Celery:
    """The beat of this worker. Others have theirs: a tick too many finds nothing to do."""
    every_s = settings.shadow_every.total_seconds()
    app = make_celery(f"{SERVICE}-beat", broker_url)
    app.conf.beat_schedule = {
        "shadow": {
            "task": SHADOW.name,
            "schedule": every_s,
            "args": (Tick().model_dump_json(),),
            "options": {"queue": SHADOW.queue, "expires": every_s * 2},
        }
    }
    return app
