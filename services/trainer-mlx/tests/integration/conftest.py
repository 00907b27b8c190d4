"""An artifact store over real HTTP, datasets of the nano domain, and stages worked on in real child processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

# Before mlx is loaded: short trainings would spend most of their time compiling C++.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MLX_DISABLE_COMPILE": "1"}

from forge_common import nano
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import ArtifactRef, RunId, StageId
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.stages import (
    BaseModelRef,
    ExportRequest,
    ExportResult,
    StageClaim,
    TrainRequest,
    TrainResult,
)
from forge_common.queue.stage import Beat
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.trainers.preferences import make_preferring
from forge_common.testing.trainers.shared import (
    Trainer,
    Witness,
    make_job,
    nano_domain,
    push_base,
    push_coding,
    report,
    tiny,
)
from forge_common.weights import stages
from forge_trainer_mlx.jobs import Device, TrainJob
from forge_trainer_mlx.settings import Settings
from forge_trainer_mlx.worker import make_bench

__all__ = ["make_job", "make_preferring", "report", "tiny"]

pytest.importorskip("mlx.core", reason="mlx is not installed on this machine")
pytest.importorskip("mlx_lm", reason="mlx-lm is not installed on this machine")


@pytest.fixture
def registry_url(tmp_path: Path) -> Iterator[str]:
    """The artifact part of a registry, on loopback."""
    with serve_artifacts(tmp_path / "store") as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path, registry_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FORGE_LOG_FORMAT", "console")
    return Settings(home=tmp_path / "home", registry_url=registry_url, threads=1)


@pytest.fixture
def artifacts(tmp_path: Path, registry_url: str) -> ArtifactClient:
    return ArtifactClient(registry_url, None, tmp_path / "cache")


@pytest.fixture
def nano_base(artifacts: ArtifactClient) -> BaseModelRef:
    return push_base(artifacts, nano.base_dir(), "nano")


@pytest.fixture
def tiny_base(artifacts: ArtifactClient, tiny: Path) -> BaseModelRef:
    return push_base(artifacts, tiny, "tiny")


@pytest.fixture
def make_dataset(artifacts: ArtifactClient, tmp_path: Path) -> Callable[..., ArtifactRef]:
    """Coding requests of the nano domain with their right answers."""

    def make(train: int = 64, valid: int = 16) -> ArtifactRef:
        return push_coding(artifacts, tmp_path, train, valid)

    return make


@pytest.fixture
def bench(settings: Settings) -> stages.Bench:
    return make_bench(settings, Device(label="a test's", memory_bytes=64 << 30))


@pytest.fixture
def work(bench: stages.Bench) -> Callable[..., TrainResult | ExportResult]:
    """Do a stage's request in a real child process, as the worker does."""

    def do(
        request: TrainRequest | ExportRequest, *, run: str = "run_1", beat: Beat | None = None
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
    return partial(nano_domain, iterations=12, learning_rate=3e-3)


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
