"""The one task: a doorbell rings, the stage is claimed and worked on, the result is delivered."""

from __future__ import annotations

from functools import partial

from celery import Celery

from forge_common.contracts.tasks import TRAIN_MLX, Doorbell
from forge_common.http.registry import RegistryClient
from forge_common.queue.stage import perform
from forge_common.queue.worker import handles
from forge_trainer_mlx.stages import Bench, work


def register(app: Celery, bench: Bench) -> None:
    registry = RegistryClient(bench.settings.registry_url, bench.settings.key_text)

    @handles(app, TRAIN_MLX)
    def on_doorbell(doorbell: Doorbell) -> None:
        perform(
            doorbell.stage_id,
            registry=registry,
            worker=bench.settings.name,
            work=partial(work, bench=bench),
        )
