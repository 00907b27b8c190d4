"""trainer-cuda on this machine's CPU, for tests that really train; what both trainers' tests need is `forge_common.testing.trainers`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import psutil
import pytest

from forge_common.testing.trainers.preferences import make_preferring
from forge_common.testing.trainers.shared import (
    Trainer,
    bench,
    make_job,
    nano_base,
    nano_domain,
    one_thread,
    push_coding,
    report,
    tiny,
)
from forge_common.weights.stages import Bench
from forge_trainer_cuda.hardware import Device
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.settings import Settings
from forge_trainer_cuda.worker import make_bench

__all__ = ["bench", "make_job", "make_preferring", "nano_base", "report", "tiny"]

one_thread()


@pytest.fixture(scope="session")
def trainer() -> Trainer:
    from forge_trainer_cuda.train import train

    return Trainer(
        package="forge_trainer_cuda",
        train=train,
        job=partial(TrainJob, device="cpu"),
        bench=make_cpu_bench,
        environment={"FORGE_TRAINER_CUDA_DEVICE": "cpu", "FORGE_TRAINER_CUDA_THREADS": "1"},
    )


def make_cpu_bench(home: Path, registry_url: str) -> Bench:
    settings = Settings(home=home, registry_url=registry_url, device="cpu", name="t", threads=1)
    return make_bench(settings, Device("cpu", "test", psutil.virtual_memory().total))


@pytest.fixture(scope="module")
def nano_dataset(bench, tmp_path_factory) -> str:
    return push_coding(bench.artifacts, tmp_path_factory.mktemp("rows"), train=56, valid=16).sha256


@pytest.fixture(scope="session")
def make_domain():
    return nano_domain
