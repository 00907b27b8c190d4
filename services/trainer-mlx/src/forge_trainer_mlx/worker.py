"""The worker process: consumes `train.mlx`. Never loads mlx itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.tasks import TRAIN_MLX
from forge_common.errors import ForgeError
from forge_common.logging import configure
from forge_common.queue.stage import Beat
from forge_common.weights.stages import Bench, Child
from forge_common.weights.worker import serve
from forge_trainer_mlx.environment import child_environment
from forge_trainer_mlx.jobs import Device, DeviceJob
from forge_trainer_mlx.settings import Settings

CHILD = "forge_trainer_mlx.child"
LIBRARIES = ("mlx", "mlx-lm")


class MlxMissing(ForgeError):
    """This installation has no mlx."""


def main() -> None:
    """Run until a signal; without a working mlx, end with a sentence that says what to do."""
    settings = Settings()
    configure("trainer-mlx", settings)
    try:
        check_installed(LIBRARIES)
        device = find_device(settings)
    except ForgeError as error:
        sys.exit(f"trainer-mlx cannot work here: {error}")
    serve(make_bench(settings, device))


def check_installed(libraries: Sequence[str]) -> None:
    """Raises MlxMissing."""
    try:
        for name in libraries:
            version(name)
    except PackageNotFoundError as error:
        raise MlxMissing(
            f"{error.name} is not installed",
            fix="mlx has wheels for Apple silicon and for Linux with glibc 2.35 or newer: install "
            "forge-trainer-mlx there; elsewhere use `forge worker cuda` or `forge worker cpu`",
        ) from error


def find_device(settings: Settings) -> Device:
    """What mlx runs on here, found out as training will. Raises ChildFailed (`mlx_unusable`), ChildDied."""
    job = DeviceJob(memory_share=settings.memory_share)
    return Device.model_validate(make_child(settings).run(job, Beat()))


def make_bench(settings: Settings, device: Device) -> Bench:
    return Bench(
        settings=settings,
        spec=TRAIN_MLX,
        device=device.label,
        memory_bytes=device.memory_bytes,
        libraries=LIBRARIES,
        child=make_child(settings),
        kind="mlx",
        artifacts=ArtifactClient(settings.registry_url, settings.key_text, settings.workdir / "artifacts"),
    )


def make_child(settings: Settings) -> Child:
    facts = {"memory_share": settings.memory_share}
    return Child(CHILD, settings.workdir, facts, child_environment(settings, os.environ))
