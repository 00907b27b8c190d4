"""Real models, real rows and a real artifact store for tests that really train."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

# Before torch is loaded: many threads on a busy machine are slower than one.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

from forge_common import nano
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.domain import DomainDocument, TrainingRules
from forge_common.contracts.stages import BaseModelRef
from forge_common.nano import teacher, traffic
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.tiny_model import write_tiny_model
from forge_trainer_cuda.hardware import Device
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.settings import Settings
from forge_trainer_cuda.worker import make_bench

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

    def __init__(self):
        self.heard = []

    def progress(self, progress):
        self.heard.append(progress)

    def check(self):
        """Never cancelled."""


@pytest.fixture
def report():
    return Silent()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def make_rows(pairs):
    return [
        {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "source": f"e{number}",
        }
        for number, (question, answer) in enumerate(pairs)
    ]


def write_rows(path: Path, pairs) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in make_rows(pairs)))
    return path


def coding_pairs(n: int):
    """Requests of the nano domain with right answers."""
    return [
        (request, teacher.answer([{"role": "user", "content": request}]))
        for request in traffic.coding_requests(n)
    ]


@pytest.fixture
def make_job(tmp_path, tiny):
    """A job on the tiny model: repeat a number, which it can learn."""

    def make(train=None, valid=None, *, base=None, workdir="run", **rules) -> TrainJob:
        pairs = [(f"say {i}", f"{i} it is") for i in range(40)]
        return TrainJob(
            base=str(base or tiny),
            base_name="tiny",
            train=str(write_rows(tmp_path / "train.jsonl", pairs[:32] if train is None else train)),
            valid=str(write_rows(tmp_path / "valid.jsonl", pairs[32:] if valid is None else valid)),
            system_prompt="",
            rules=TrainingRules.model_validate(QUICK | rules),
            workdir=str(tmp_path / workdir),
            device="cpu",
            max_tokens_at_once=4096,
        )

    return make


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    home = tmp_path_factory.mktemp("bench")
    with serve_artifacts(home / "store") as url:
        settings = Settings(home=home / "home", registry_url=url, device="cpu", name="t", threads=1)
        yield make_bench(settings, Device("cpu", "test", psutil.virtual_memory().total))


@pytest.fixture(scope="module")
def nano_base(bench) -> BaseModelRef:
    return BaseModelRef(name="nano", bundle=bench.artifacts.push_bundle(nano.base_dir(), "base").sha256)


@pytest.fixture(scope="module")
def nano_dataset(bench, tmp_path_factory) -> str:
    folder, pairs = tmp_path_factory.mktemp("rows"), coding_pairs(72)
    train = bench.artifacts.push(write_rows(folder / "train.jsonl", pairs[:56]), "rows")
    valid = bench.artifacts.push(write_rows(folder / "valid.jsonl", pairs[56:]), "rows")
    manifest = DatasetManifest(domain="nano", train=train, valid=valid, train_rows=56, valid_rows=16, seen=72)
    return bench.artifacts.push_bytes(manifest.model_dump_json().encode(), "dataset").sha256


def _domain(mode="adapter", quant="f16", **rules) -> DomainDocument:
    return DomainDocument.model_validate(
        {
            "id": "nano",
            "name": "Nano",
            "base_model": "nano",
            "model_prefix": "nano",
            "training": QUICK | rules,
            "deploy": {"mode": mode, "quant": quant},
        }
    )


@pytest.fixture(scope="session")
def make_domain():
    return _domain
