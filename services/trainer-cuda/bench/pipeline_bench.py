"""Seconds from a dataset to a deployed adapter on the nano model, through the real stages: train, export, deploy.

    python services/trainer-cuda/bench/pipeline_bench.py [--quick]

Artifacts go over HTTP, children are fresh processes, exports are verified in llama.cpp, the engine is the embedded one.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from chats import write_chats
from tables import table

from forge_common import nano
from forge_common.contracts.base import Contract, RunId, StageId
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.stages import (
    BaseModelRef,
    Deployable,
    DeployRequest,
    ExportRequest,
    ExportResult,
    StageClaim,
    TrainRequest,
    TrainResult,
)
from forge_common.queue.stage import Beat
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.weights.stages import Bench, work
from forge_engine.testing.running import running_engine
from forge_registry.deploy import Deployment
from forge_trainer_cuda.hardware import Device
from forge_trainer_cuda.settings import Settings
from forge_trainer_cuda.worker import make_bench


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    rows = 32 if parser.parse_args().quick else 200
    with tempfile.TemporaryDirectory() as folder, serve_artifacts(Path(folder) / "store") as url:
        settings = Settings(
            home=Path(folder) / "home", registry_url=url, device="cpu", name="bench", threads=1
        )
        return run(make_bench(settings, Device("cpu", "this CPU", 1)), Path(folder), rows)


def run(bench: Bench, folder: Path, rows: int) -> int:
    domain = DomainDocument.model_validate(
        {"id": "nano", "name": "Nano", "base_model": "nano", "model_prefix": "nano",
         "training": {"epochs": 1, "learning_rate": 3e-3}}
    )  # fmt: skip
    base = BaseModelRef(name="nano", bundle=bench.artifacts.push_bundle(nano.base_dir(), "base").sha256)
    dataset = _dataset(bench, folder, rows)
    clock = [time.monotonic()]
    trained = work(_claim(TrainRequest(domain=domain, dataset=dataset, base=base)), Beat(), bench)
    assert isinstance(trained, TrainResult)
    clock.append(time.monotonic())
    order = ExportRequest(domain=domain, base=base, adapter=trained.adapter.sha256, dataset=dataset)
    exported = work(_claim(order), Beat(), bench)
    assert isinstance(exported, ExportResult)
    clock.append(time.monotonic())
    equal, compared = _deploy(bench, folder, exported, clock)
    _show(clock, rows, equal, compared)
    return 0 if equal == compared else 1


def _show(clock: Sequence[float], rows: int, equal: int, compared: int) -> None:
    spent = [after - before for before, after in pairwise(clock)]
    named = zip(("train", "export and verify", "start the engine", "deploy"), spent, strict=True)
    table(f"From a dataset of {rows} conversations to a deployed adapter", ("stage", "seconds"),
          [*named, ("together", sum(spent))])  # fmt: skip
    print(f"deployed: {equal} of {compared} answers are those of the exported files")


def _deploy(bench: Bench, folder: Path, exported: ExportResult, clock: list[float]) -> tuple[int, int]:
    version = Deployable(
        model="nano:v1", gguf=exported.base_gguf, adapter=exported.adapter_gguf,
        parameters={"num_ctx": 1024, "temperature": 0.0}, probes=exported.probes,
    )  # fmt: skip
    with running_engine(folder / "engine") as engine:
        clock.append(time.monotonic())
        deployment = Deployment(engine.client(), bench.artifacts.fetch, 0.5, 60)
        done = deployment.work(_claim(DeployRequest(versions=(version,))), Beat())
        clock.append(time.monotonic())
    return done.deployed[0].probes_equal, len(exported.probes)


def _dataset(bench: Bench, folder: Path, rows: int) -> str:
    train = bench.artifacts.push(write_chats(folder / "train.jsonl", rows, seed=1), "rows")
    valid = bench.artifacts.push(write_chats(folder / "valid.jsonl", 24, seed=2), "rows")
    manifest = DatasetManifest(
        domain="nano", train=train, valid=valid, train_rows=rows, valid_rows=24, seen=rows
    )
    return bench.artifacts.push_bytes(manifest.model_dump_json().encode(), "dataset").sha256


def _claim(request: Contract) -> StageClaim:
    facts = {"stage_id": StageId("s"), "run_id": RunId("run_1"), "token": 1, "lease_s": 30.0, "attempt": 1}
    return StageClaim.model_validate({**facts, "request": request})


if __name__ == "__main__":
    sys.exit(main())
