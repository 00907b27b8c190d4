"""trainer-mlx on mlx's CPU build, for tests that really train; what both trainers' tests need is `forge_common.testing.trainers`."""

from __future__ import annotations

import os
import secrets
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import ArtifactRef, RunId, StageId
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.stages import (
    ExportRequest,
    ExportResult,
    StageClaim,
    TrainRequest,
    TrainResult,
)
from forge_common.queue.stage import Beat
from forge_common.testing.trainers.preferences import make_preferring
from forge_common.testing.trainers.shared import (
    Trainer,
    Witness,
    bench,
    make_job,
    nano_base,
    nano_domain,
    one_thread,
    push_coding,
    report,
    tiny,
    tiny_base,
)
from forge_common.weights import stages
from forge_trainer_mlx.environment import find_openblas
from forge_trainer_mlx.jobs import Device, TrainJob
from forge_trainer_mlx.settings import Settings
from forge_trainer_mlx.worker import make_bench

__all__ = ["bench", "make_job", "make_preferring", "nano_base", "report", "tiny", "tiny_base"]

one_thread()
# Short trainings would spend most of their time compiling C++.
os.environ["MLX_DISABLE_COMPILE"] = "1"

pytest.importorskip("mlx.core", reason="mlx is not installed on this machine")
pytest.importorskip("mlx_lm", reason="mlx-lm is not installed on this machine")


HAS_FAST_BLAS = sys.platform != "linux" or find_openblas() is not None


@pytest.fixture(scope="session", autouse=True)
def slow_blas() -> None:
    if not HAS_FAST_BLAS:
        warnings.warn("trainer-mlx: no OpenBLAS on this machine, trainings here are shorter", stacklevel=1)


@pytest.fixture
def settings(bench: stages.Bench, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FORGE_LOG_FORMAT", "console")
    assert isinstance(bench.settings, Settings)
    return bench.settings


@pytest.fixture
def artifacts(bench: stages.Bench) -> ArtifactClient:
    return bench.artifacts


@pytest.fixture
def make_dataset(artifacts: ArtifactClient, tmp_path: Path) -> Callable[..., ArtifactRef]:
    """Coding requests of the nano domain with their right answers."""

    def make(train: int = 64 if HAS_FAST_BLAS else 32, valid: int = 16) -> ArtifactRef:
        return push_coding(artifacts, tmp_path, train, valid)

    return make


@pytest.fixture
def work(bench: stages.Bench) -> Callable[..., TrainResult | ExportResult]:
    """Do a stage's request in a real child process, as the worker does: of one run, unless told."""
    own = f"run_{secrets.token_hex(6)}"

    def do(
        request: TrainRequest | ExportRequest, *, run: str = own, beat: Beat | None = None
    ) -> TrainResult | ExportResult:
        claim = StageClaim(
            stage_id=StageId("stage_1"),
            run_id=RunId(run),
            token=1,
            lease_s=30,
            attempt=1,
            request=request,
        )
        return stages.work(claim, beat or Beat(), bench)

    return do


@pytest.fixture
def witness() -> type[Witness]:
    return Witness


@pytest.fixture
def make_domain() -> Callable[..., DomainDocument]:
    return partial(nano_domain, iterations=12 if HAS_FAST_BLAS else 8, learning_rate=3e-3)


@pytest.fixture(scope="session")
def trainer() -> Trainer:
    from forge_trainer_mlx.train import train

    return Trainer(
        package="forge_trainer_mlx",
        train=train,
        job=partial(TrainJob, memory_share=0.9),
        bench=make_cpu_bench,
        environment={"FORGE_TRAINER_MLX_THREADS": "1"},
    )


def make_cpu_bench(home: Path, registry_url: str) -> stages.Bench:
    settings = Settings(home=home, registry_url=registry_url, name="t", threads=1)
    return make_bench(settings, Device(label="a test's", memory_bytes=64 << 30))
