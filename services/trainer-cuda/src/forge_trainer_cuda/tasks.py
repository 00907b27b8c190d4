"""The one task: a doorbell rings, the stage is claimed and worked on, the result is delivered."""

from __future__ import annotations

from functools import partial

from celery import Celery

from forge_common.contracts.tasks import Doorbell, TaskSpec
from forge_common.http.registry import RegistryClient
from forge_common.queue.stage import perform
from forge_common.queue.worker import handles
from forge_trainer_cuda.stages import Bench, work


def register(app: Celery, spec: TaskSpec[Doorbell], bench: Bench) -> None:
    registry = RegistryClient(bench.settings.registry_url, bench.settings.key_text)

    @handles(app, spec)
    def on_doorbell(doorbell: Doorbell) -> None:
        perform(
            doorbell.stage_id,
            registry=registry,
            worker=bench.settings.name,
            work=partial(work, bench=bench),
        )
