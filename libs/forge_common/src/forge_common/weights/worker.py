"""A trainer's worker process, whatever it trains with: says hello, waits for doorbells, works on the stages."""

from __future__ import annotations

import shutil
import time
from functools import partial

from celery import Celery

from forge_common.contracts.tasks import Doorbell
from forge_common.contracts.workers import WorkerHello
from forge_common.http.registry import RegistryClient
from forge_common.queue.stage import perform
from forge_common.queue.worker import handles, make_worker, run_worker
from forge_common.weights.settings import TrainerSettings
from forge_common.weights.stages import Bench, work


def serve(bench: Bench) -> None:
    """Run until a signal."""
    sweep(bench.settings)
    run_worker(
        hello(bench), bench.settings, partial(make_app, bench=bench), refresh=partial(refreshed, bench=bench)
    )


def hello(bench: Bench) -> WorkerHello:
    return WorkerHello(
        name=name_of(bench),
        service=bench.spec.owner,
        queues=(bench.spec.queue,),
        device=bench.device,
        memory_bytes=bench.memory_bytes,
        versions=bench.versions,
    )


def refreshed(said: WorkerHello, bench: Bench) -> WorkerHello:
    """With the memory that is in use now."""
    return said.model_copy(update={"memory_used_bytes": bench.used()})


def name_of(bench: Bench) -> str:
    """`trainer-cuda-mybox.cpu`: one machine may run a worker for its card and one for its CPU."""
    return f"{bench.settings.name}.{bench.spec.queue.rpartition('.')[2]}"


def make_app(broker_url: str, bench: Bench) -> Celery:
    """The app with its one task: the stage is claimed and worked on, the result is delivered."""
    settings = bench.settings
    registry = RegistryClient(settings.registry_url, settings.key_text)
    app = make_worker(bench.spec.owner, broker_url, [bench.spec.queue])

    @handles(app, bench.spec)
    def on_doorbell(doorbell: Doorbell) -> None:
        perform(doorbell.stage_id, registry=registry, worker=name_of(bench), work=partial(work, bench=bench))

    return app


def sweep(settings: TrainerSettings) -> None:
    """Remove what runs of long ago left behind."""
    for folder in (settings.workdir / "runs").glob("*"):
        if folder.stat().st_mtime < time.time() - settings.keep_days * 86_400:
            shutil.rmtree(folder, ignore_errors=True)
