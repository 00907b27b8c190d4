"""A trainer as the scenarios see it, jobs for it on the tiny model, and datasets. The fixtures are imported by conftests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from forge_common import nano
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import ArtifactRef
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.domain import DomainDocument, TrainingRules
from forge_common.contracts.stages import BaseModelRef, Progress
from forge_common.nano import teacher, traffic
from forge_common.queue.stage import Beat
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.jobs import TrainJob, TrainOutcome
from forge_common.weights.stages import Bench
from forge_common.weights.training import Reports

QUICK: Mapping[str, object] = {
    "rank": 8,
    "alpha": 16,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "warmup_steps": 2,
    "evaluate_every": 4,
    "max_seq_length": 256,
}
"""Eight steps on the tiny model's 32 rows, judged after the fourth and the last."""

Pairs = Iterable[tuple[str, str]]
"""Questions and their answers."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """`package` is the worker's module and `package.child` its child's; `job` makes its TrainJob, `facts` included."""

    package: str
    train: Callable[[Any, Reports], TrainOutcome]
    job: Callable[..., TrainJob]
    bench: Callable[[Path, str], Bench]
    """On this machine's CPU, in a home, for a registry's URL."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the worker's process, beside the home and the registry."""


def one_thread() -> None:
    """Of each framework's, before it is loaded: many on a busy machine are slower than one."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


class JobMaker(Protocol):
    def __call__(
        self,
        train: Sequence[tuple[str, str]] | None = None,
        valid: Sequence[tuple[str, str]] | None = None,
        *,
        base: Path | None = None,
        workdir: str = "run",
        **rules: Any,
    ) -> TrainJob: ...


class Silent:
    """Hears progress and keeps it."""

    def __init__(self) -> None:
        self.heard: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.heard.append(progress)

    def check(self) -> None:
        """Never cancelled."""


class Stopped(Exception):
    """Stands for a process that ends in the middle of a step."""


class StopAt:
    def __init__(self, step: int, message: str = "training") -> None:
        self._where = (message, step)

    def progress(self, progress: Progress) -> None:
        if (progress.message, progress.step) == self._where:
            raise Stopped


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

    @property
    def steps(self) -> list[int]:
        return [progress.step for progress in self.seen if progress.step is not None]


def at(step: int, act: Callable[[], object]) -> Callable[[Progress], None]:
    """Calls `act` when training has come to `step`; for a Witness."""

    def watch(progress: Progress) -> None:
        if progress.step == step:
            act()

    return watch


def contents(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def write_rows(path: Path, pairs: Pairs, name: str = "e") -> Path:
    rows = (
        {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "source": f"{name}{number}",
        }
        for number, (question, answer) in enumerate(pairs)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def coding_pairs(n: int) -> list[tuple[str, str]]:
    """Requests of the nano domain with right answers."""
    return [
        (request, teacher.answer([{"role": "user", "content": request}]))
        for request in traffic.coding_requests(n)
    ]


def push_dataset(artifacts: ArtifactClient, train: Path, valid: Path) -> ArtifactRef:
    counts = [path.read_bytes().count(b"\n") for path in (train, valid)]
    manifest = DatasetManifest(
        domain="nano",
        train=artifacts.push(train, "rows"),
        valid=artifacts.push(valid, "rows"),
        train_rows=counts[0],
        valid_rows=counts[1],
        seen=sum(counts),
    )
    return artifacts.push_bytes(manifest.model_dump_json().encode(), "dataset")


def push_coding(artifacts: ArtifactClient, folder: Path, train: int, valid: int) -> ArtifactRef:
    """A dataset of the nano domain's requests; its rows are written into `folder` first."""
    pairs = coding_pairs(train + valid)
    rows = write_rows(folder / "dataset-train.jsonl", pairs[:train])
    return push_dataset(artifacts, rows, write_rows(folder / "dataset-valid.jsonl", pairs[train:]))


def push_base(artifacts: ArtifactClient, folder: Path, name: str) -> BaseModelRef:
    return BaseModelRef(name=name, bundle=artifacts.push_bundle(folder, "base").sha256)


def nano_domain(mode: str = "adapter", quant: str = "f16", **rules: Any) -> DomainDocument:
    return DomainDocument.model_validate(
        {
            "id": "nano",
            "name": "Nano",
            "base_model": "nano",
            "model_prefix": "nano",
            "training": {**QUICK, **rules},
            "deploy": {"mode": mode, "quant": quant},
        }
    )


@pytest.fixture
def report() -> Silent:
    return Silent()


@pytest.fixture(scope="module")
def bench(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Of a worker on this machine's CPU, with an artifact store over real HTTP."""
    home = tmp_path_factory.mktemp("bench")
    with serve_artifacts(home / "store") as url:
        yield trainer.bench(home / "home", url)


@pytest.fixture(scope="module")
def nano_base(bench: Bench) -> BaseModelRef:
    return push_base(bench.artifacts, nano.base_dir(), "nano")


@pytest.fixture(scope="module")
def tiny_base(bench: Bench, tiny: Path) -> BaseModelRef:
    return push_base(bench.artifacts, tiny, "tiny")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def make_job(tmp_path: Path, tiny: Path, trainer: Trainer) -> JobMaker:
    """A job on the tiny model: repeat a number, which it can learn."""

    def make(
        train: Sequence[tuple[str, str]] | None = None,
        valid: Sequence[tuple[str, str]] | None = None,
        *,
        base: Path | None = None,
        workdir: str = "run",
        **rules: Any,
    ) -> TrainJob:
        pairs = [(f"say {i}", f"{i} it is") for i in range(40)]
        return trainer.job(
            base=str(base or tiny),
            base_name="tiny",
            train=str(write_rows(tmp_path / "train.jsonl", pairs[:32] if train is None else train)),
            valid=str(write_rows(tmp_path / "valid.jsonl", pairs[32:] if valid is None else valid)),
            system_prompt="",
            rules=TrainingRules.model_validate({**QUICK, **rules}),
            workdir=str(tmp_path / workdir),
            max_tokens_at_once=4096,
        )

    return make
