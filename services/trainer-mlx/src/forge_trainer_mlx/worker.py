"""The worker process: consumes `train.mlx`. Never loads mlx itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import psutil
from pydantic import JsonValue

from forge_common.contracts.base import Contract
from forge_common.contracts.stages import Progress
from forge_common.contracts.tasks import TRAIN_MLX
from forge_common.errors import ForgeError
from forge_common.logging import configure, get_logger
from forge_common.queue.child import ChildDied
from forge_common.queue.stage import Beat
from forge_common.weights.jobs import TrainJob
from forge_common.weights.room import SHORTEST_ROW, OutOfMemory
from forge_common.weights.stages import Bench, Child, artifact_client
from forge_common.weights.worker import serve
from forge_trainer_mlx.environment import child_environment
from forge_trainer_mlx.jobs import Device, DeviceJob
from forge_trainer_mlx.settings import Settings

log = get_logger()

CHILD = "forge_trainer_mlx.child"
# mlx-lm brings transformers along.
LIBRARIES = ("mlx", "mlx-lm", "transformers")


class MlxMissing(ForgeError):
    """This installation has no mlx."""


# How mlx ends a process whose memory ran out below Python: Metal aborts it, the CPU build writes to where nothing is.
CRASHES = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)


@dataclass(frozen=True, slots=True)
class MlxChild(Child):
    """A training that mlx itself ended goes on from its checkpoint with half of the tokens at once."""

    def run(self, job: Contract, beat: Beat) -> dict[str, JsonValue]:
        """Raises OutOfMemory, and as `run_child` does."""
        while True:
            try:
                return Child.run(self, job, beat)
            except ChildDied as death:
                if not isinstance(job, TrainJob) or death.signal not in CRASHES:
                    raise
                job = job.model_copy(update={"max_tokens_at_once": _half(job, death.signal)})
                how = f"mlx ended the process ({death.signal.name})"
            message = f"{how}: going on with {job.max_tokens_at_once} tokens at once"
            log.warning("child.crashed", detail=message)
            beat.progress(Progress(message=message))


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


def _half(job: TrainJob, killer: signal.Signals) -> int:
    """Raises OutOfMemory when less would not help."""
    half = job.max_tokens_at_once // 2
    if half < SHORTEST_ROW:
        raise OutOfMemory(
            f"mlx ended the process ({killer.name}) even with {job.max_tokens_at_once} tokens at once",
            fix="train with method qlora, a smaller training.max_seq_length, fewer num_layers or a smaller base model; "
            "the child's last words are in the worker's log",
        )
    return half


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
        used=used_bytes,
        artifacts=artifact_client(settings),
    )


def used_bytes() -> int:
    """A Mac's memory is one for everybody."""
    memory = psutil.virtual_memory()
    return int(memory.total - memory.available)


def make_child(settings: Settings) -> MlxChild:
    facts = {"memory_share": settings.memory_share}
    return MlxChild(CHILD, settings.workdir, facts, child_environment(settings, os.environ))
