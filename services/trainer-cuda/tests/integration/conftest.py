"""Real models, real rows and a real artifact store for tests that really train."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import psutil
import pytest

# Before torch is loaded: many threads on a busy machine are slower than one.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

from forge_common import nano
from forge_common.contracts.stages import BaseModelRef
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.trainers.preferences import make_preferring
from forge_common.testing.trainers.shared import (
    Trainer,
    make_job,
    nano_domain,
    push_base,
    push_coding,
    report,
    tiny,
)
from forge_common.weights.stages import Bench
from forge_trainer_cuda.hardware import Device
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.settings import Settings
from forge_trainer_cuda.worker import make_bench

__all__ = ["make_job", "make_preferring", "report", "tiny"]


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
def bench(tmp_path_factory):
    home = tmp_path_factory.mktemp("bench")
    with serve_artifacts(home / "store") as url:
        yield make_cpu_bench(home / "home", url)


@pytest.fixture(scope="module")
def nano_base(bench) -> BaseModelRef:
    return push_base(bench.artifacts, nano.base_dir(), "nano")


@pytest.fixture(scope="module")
def nano_dataset(bench, tmp_path_factory) -> str:
    return push_coding(bench.artifacts, tmp_path_factory.mktemp("rows"), train=56, valid=16).sha256


@pytest.fixture(scope="session")
def make_domain():
    return nano_domain
