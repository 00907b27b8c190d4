"""The worker process: consumes `train.mlx`. Never loads mlx itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from celery import Celery

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.tasks import TRAIN_MLX
from forge_common.contracts.workers import WorkerHello
from forge_common.errors import ForgeError
from forge_common.logging import configure
from forge_common.queue.worker import make_worker, run_worker
from forge_trainer_mlx.settings import Settings
from forge_trainer_mlx.stages import LIBRARIES, Bench, find_device, sweep
from forge_trainer_mlx.tasks import register


class MlxMissing(ForgeError):
    """This installation has no mlx."""


def main() -> None:
    """Run until a signal; without a working mlx, end with a sentence that says what to do."""
    settings = Settings()
    configure("trainer-mlx", settings)
    try:
        versions = installed(LIBRARIES)
        bench = make_bench(settings)
    except ForgeError as error:
        sys.exit(f"trainer-mlx cannot work here: {error}")
    sweep(settings)
    run_worker(hello(bench, versions), settings, lambda broker_url: make_app(broker_url, bench))


def installed(libraries: Iterable[str]) -> dict[str, str]:
    """Their versions. Raises MlxMissing."""
    try:
        return {name: version(name) for name in libraries}
    except PackageNotFoundError as error:
        raise MlxMissing(
            f"{error.name} is not installed",
            fix="mlx has wheels for Apple silicon and for Linux with glibc 2.35 or newer: install "
            "forge-trainer-mlx there; elsewhere use `forge worker cuda` or `forge worker cpu`",
        ) from error


def make_bench(settings: Settings) -> Bench:
    """Raises ChildFailed or ChildDied when mlx does not load."""
    artifacts = ArtifactClient(settings.registry_url, settings.key_text, settings.workdir / "artifacts")
    return Bench(settings=settings, device=find_device(settings), artifacts=artifacts)


def hello(bench: Bench, versions: dict[str, str]) -> WorkerHello:
    return WorkerHello(
        name=bench.settings.name,
        service="trainer-mlx",
        queues=(TRAIN_MLX.queue,),
        device=bench.device.label,
        memory_bytes=bench.device.memory_bytes,
        versions=versions,
    )


def make_app(broker_url: str, bench: Bench) -> Celery:
    app = make_worker("trainer-mlx", broker_url, [TRAIN_MLX.queue])
    register(app, bench)
    return app
