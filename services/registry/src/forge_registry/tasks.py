"""The tasks of this service: deploy a stage, sweep. Each is called by a doorbell and does nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from celery import Celery

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import Sha256
from forge_common.contracts.tasks import DEPLOY, SWEEP, Doorbell, Tick
from forge_common.errors import DependencyDown
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger
from forge_common.queue.stage import perform
from forge_common.queue.worker import handles
from forge_registry.context import Context
from forge_registry.deploy import Deployment
from forge_registry.sweeper import sweep as sweep_once

log = get_logger()


def register(app: Celery, context: Context, worker: str) -> None:
    settings = context.settings
    registry = RegistryClient(settings.registry_url, settings.key_text)
    deployment = Deployment(
        context.engine, artifact_files(context), settings.parity_share, settings.engine_patience_s
    )

    @handles(app, DEPLOY)
    def deploy(doorbell: Doorbell) -> None:
        perform(doorbell.stage_id, registry=registry, worker=worker, work=deployment.work)

    @handles(app, SWEEP)
    def sweep(_: Tick) -> None:
        try:
            sweep_once(context)
        except DependencyDown as error:
            # The next tick sweeps again.
            log.warning("sweep.failed", reason=str(error))


def artifact_files(context: Context) -> Callable[[Sha256], Path]:
    """Artifacts as local files: the store's own when it lies on this machine, else downloaded once."""
    settings, store = context.settings, context.store
    client = ArtifactClient(settings.registry_url, settings.key_text, settings.folder / "cache")

    def file(sha256: Sha256) -> Path:
        return store.path(sha256) if store.has(sha256) else client.fetch(sha256)

    return file
