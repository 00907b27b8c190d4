"""An artifact store over real HTTP, datasets of the nano domain, and stages worked on in real child processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

# Before mlx is loaded: short trainings would spend most of their time compiling C++.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MLX_DISABLE_COMPILE": "1"}

from forge_common import nano
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import ArtifactRef, RunId, StageId
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.domain import DomainDocument, TrainingRules
from forge_common.contracts.stages import (
    BaseModelRef,
    ExportRequest,
    ExportResult,
    Progress,
    StageClaim,
    TrainRequest,
    TrainResult,
)
from forge_common.nano import teacher, traffic
from forge_common.queue.stage import Beat
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights import stages
from forge_trainer_mlx.jobs import Device, TrainJob
from forge_trainer_mlx.settings import Settings
from forge_trainer_mlx.worker import make_bench

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
    return BaseModelRef(name="nano", bundle=artifacts.push_bundle(nano.base_dir(), "base").sha256)


@pytest.fixture
def tiny_base(artifacts: ArtifactClient, tmp_path: Path) -> BaseModelRef:
    folder = write_tiny_model(tmp_path / "tiny")
    return BaseModelRef(name="tiny", bundle=artifacts.push_bundle(folder, "base").sha256)


@pytest.fixture
def make_dataset(artifacts: ArtifactClient, tmp_path: Path) -> Callable[..., ArtifactRef]:
    """Coding requests of the nano domain with their right answers."""

    def make(train: int = 64, valid: int = 16) -> ArtifactRef:
        prompts = list(traffic.coding_requests(train + valid))
        refs = [
            artifacts.push_bytes(_lines(part).encode(), "rows") for part in (prompts[:train], prompts[train:])
        ]
        manifest = DatasetManifest(
            domain="nano",
            train=refs[0],
            valid=refs[1],
            train_rows=train,
            valid_rows=valid,
            seen=train + valid,
        )
        return artifacts.push_bytes(manifest.model_dump_json().encode(), "dataset")

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


class Witness(Beat):
    """Keeps every progress that arrived, and may act on one."""

    def __init__(self, act: Callable[[Progress], None] = lambda _: None) -> None:
        super().__init__()
        self.seen: list[Progress] = []
        self._act = act

    def progress(self, progress: Progress) -> None:
        super().progress(progress)
        self.seen.append(progress)
        self._act(progress)


@pytest.fixture
def witness() -> type[Witness]:
    return Witness


def _lines(prompts: list[str]) -> str:
    rows = [
        {
            "messages": [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": teacher.answer([{"role": "user", "content": prompt}])},
            ],
            "source": f"exchange_{number}",
        }
        for number, prompt in enumerate(prompts)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def make_domain() -> Callable[..., DomainDocument]:
    def make(**training: object) -> DomainDocument:
        rules: dict[str, object] = {
            "rank": 8,
            "alpha": 16,
            "iterations": 12,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "max_seq_length": 256,
            "evaluate_every": 4,
        }
        return DomainDocument(
            id="nano",
            name="Nano",
            base_model="nano",
            model_prefix="nano",
            training=TrainingRules.model_validate(rules | training),
        )

    return make


QUICK = {
    "rank": 8,
    "alpha": 16,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "warmup_steps": 2,
    "evaluate_every": 4,
    "max_seq_length": 256,
}


class Silent:
    """Hears progress and keeps it."""

    def __init__(self) -> None:
        self.heard: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.heard.append(progress)


@pytest.fixture
def report() -> Silent:
    return Silent()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def make_rows(pairs: Iterable[tuple[str, str]], name: str = "e") -> str:
    rows = [
        {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "source": f"{name}{number}",
        }
        for number, (question, answer) in enumerate(pairs)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def make_job(tmp_path: Path, tiny: Path) -> Callable[..., TrainJob]:
    """A job on the tiny model: repeat a number, which it can learn."""

    def make(
        train: Sequence[tuple[str, str]] | None = None,
        valid: Sequence[tuple[str, str]] | None = None,
        *,
        base: Path | None = None,
        workdir: str = "run",
        **rules: object,
    ) -> TrainJob:
        pairs = [(f"say {i}", f"{i} it is") for i in range(40)]
        (tmp_path / "train.jsonl").write_text(make_rows(pairs[:32] if train is None else train))
        (tmp_path / "valid.jsonl").write_text(make_rows(pairs[32:] if valid is None else valid))
        return TrainJob(
            base=str(base or tiny),
            base_name="tiny",
            train=str(tmp_path / "train.jsonl"),
            valid=str(tmp_path / "valid.jsonl"),
            system_prompt="",
            rules=TrainingRules.model_validate(QUICK | rules),
            workdir=str(tmp_path / workdir),
            max_tokens_at_once=4096,
            memory_share=0.9,
        )

    return make
