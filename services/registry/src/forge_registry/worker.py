"""The registry's worker: queues `deploy` and `registry`, and the beat that rings the sweeper.

Two beats at once do no harm, since sweeping twice does none; so each worker carries one, and there is no lock to lose.
"""

from __future__ import annotations

import socket

from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from celery.beat import Service as BeatService

from forge_common.contracts.tasks import DEPLOY, SWEEP, Tick
from forge_common.contracts.workers import WorkerHello
from forge_common.logging import configure, get_logger
from forge_common.queue.celery import make_celery
from forge_common.queue.worker import make_worker, run_worker
from forge_registry.context import Context
from forge_registry.settings import Settings
from forge_registry.tasks import register

log = get_logger()

# Several deployments may wait for the engine at once, and the sweeper must still get its turn.
CONCURRENCY = 4


def work(settings: Settings) -> None:
    """Run until a signal."""
    configure("registry-worker", settings)
    hello = WorkerHello(
        name=f"deployer-{socket.gethostname()}",
        service="registry",
        queues=(DEPLOY.queue, SWEEP.queue),
    )
    run_worker(
        hello, settings, lambda broker_url: build(broker_url, settings, hello.name), concurrency=CONCURRENCY
    )


def build(broker_url: str, settings: Settings, name: str) -> Celery:
    app = make_worker("registry", broker_url, [DEPLOY.queue, SWEEP.queue])
    register(app, Context(settings), name)
    EmbeddedService(_schedule(broker_url, settings), thread=True, scheduler_cls=Scheduler).start()
    return app


def beat(settings: Settings) -> None:
    """The beat alone, in the foreground, until a signal."""
    configure("registry-beat", settings)
    log.info("beat.started", every_s=settings.sweep_every_s)
    BeatService(_schedule(settings.broker_url, settings), scheduler_cls=Scheduler).start()


def _schedule(broker_url: str, settings: Settings) -> Celery:
    """An app of its own, with the schedule in memory: a file of last runs would only be in the way after a crash."""
    app = make_celery("registry-beat", broker_url)
    app.conf.beat_schedule = {
        "sweep": {
            "task": SWEEP.name,
            "schedule": settings.sweep_every_s,
            "args": (Tick().model_dump_json(),),
            # Ticks that nobody followed in time are worth nothing.
            "options": {"queue": SWEEP.queue, "expires": settings.sweep_every_s * 2},
        }
    }
    return app
