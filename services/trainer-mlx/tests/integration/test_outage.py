"""A registry that is away while a training runs: the training goes on, and is reported when the registry is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import ArtifactRef, RunId, StageId
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.stages import BaseModelRef, StageClaim, TrainRequest
from forge_common.http.registry import RegistryClient
from forge_common.queue.stage import perform
from forge_common.testing.stage_server import StageServer
from forge_common.weights.stages import Bench, work
from forge_trainer_mlx.jobs import Device
from forge_trainer_mlx.settings import Settings
from forge_trainer_mlx.worker import make_bench

pytestmark = pytest.mark.integration

STAGE = StageId("stage_9")
# A beat every third of a second; ten minutes of the real lease of 30 s are 20 leases.
LEASE_S, AWAY_S = 1.0, 20.0


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[StageServer]:
    server = StageServer(tmp_path / "store")
    server.come()
    yield server
    if server.is_there:
        server.leave()


@pytest.fixture
def bench(tmp_path: Path, registry: StageServer) -> Bench:
    settings = Settings(home=tmp_path / "home", registry_url=registry.url, name="t", threads=1)
    return make_bench(settings, Device(label="a test's", memory_bytes=64 << 30))


@pytest.fixture
def begin(bench: Bench, registry: StageServer, tiny: Path, make_job, make_domain):
    """Let a worker claim and work on a training, in a thread of its own."""

    def begin(**rules: object) -> threading.Thread:
        job, artifacts = make_job(), ArtifactClient(registry.url, None, bench.settings.home / "sender")
        train, valid = (artifacts.push(Path(rows), "rows") for rows in (job.train, job.valid))
        manifest = DatasetManifest(
            domain="nano", train=train, valid=valid, train_rows=32, valid_rows=8, seen=40
        )
        dataset: ArtifactRef = artifacts.push_bytes(manifest.model_dump_json().encode(), "dataset")
        base = BaseModelRef(name="tiny", bundle=artifacts.push_bundle(tiny, "base").sha256)
        registry.claim = StageClaim(
            stage_id=STAGE,
            run_id=RunId("run_9"),
            token=3,
            lease_s=LEASE_S,
            attempt=1,
            request=TrainRequest(domain=make_domain(**rules), dataset=dataset.sha256, base=base),
        )
        doing = partial(
            perform, STAGE, registry=RegistryClient(registry.url), worker="t", work=partial(work, bench=bench)
        )
        thread = threading.Thread(target=doing, daemon=True)
        thread.start()
        return thread

    return begin


def wait_for(claim: Callable[[], object], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def is_training(registry: StageServer) -> bool:
    return any(beat.progress and beat.progress.step for beat in registry.beats)


def test_a_registry_that_is_away_costs_a_training_nothing(begin, registry: StageServer, bench: Bench) -> None:
    working = begin(iterations=120, evaluate_every=40, patience=99)
    wait_for(lambda: is_training(registry))

    registry.leave()
    (child,) = psutil.Process().children()
    child.wait(60)  # it trains to its end while nobody is there to be told
    time.sleep(AWAY_S)
    registry.come()
    working.join(60)

    (delivery,) = registry.deliveries
    assert delivery.result is not None
    assert (delivery.token, delivery.result.kind, delivery.result.steps) == (3, "train", 120)
    assert registry.claimed == 1
    assert bench.artifacts.fetch(delivery.result.adapter.sha256).is_file()


def test_a_run_that_is_cancelled_ends_its_training_within_seconds(begin, registry: StageServer) -> None:
    working = begin(iterations=100_000)
    wait_for(lambda: is_training(registry))

    registry.cancel = True
    cancelled = time.monotonic()
    working.join(30)

    assert time.monotonic() - cancelled < 10
    assert psutil.Process().children() == []
    (delivery,) = registry.deliveries
    assert delivery.failure is not None
    assert delivery.failure.code == "cancelled"
