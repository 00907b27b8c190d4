"""A registry or a broker that is away while a training runs: the training goes on, and is reported when they are back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.stages import BaseModelRef, StageClaim, TrainRequest
from forge_common.contracts.tasks import Doorbell
from forge_common.http.registry import RegistryClient
from forge_common.local.redis import Redis
from forge_common.queue.producer import Producer
from forge_common.queue.stage import perform
from forge_common.testing.plugin import stopping
from forge_common.testing.stage_server import StageServer
from forge_common.testing.trainers.shared import JobMaker, Trainer, nano_domain, push_dataset
from forge_common.weights.stages import Bench, work

STAGE = StageId("stage_9")
# A beat every third of a second; ten minutes of the real lease of 30 s are 20 leases.
LEASE_S, AWAY_S = 1.0, 20.0

Prepare = Callable[..., None]


class TestOutage:
    @pytest.fixture
    def registry(self, tmp_path: Path) -> Iterator[StageServer]:
        server = StageServer(tmp_path / "store")
        server.come()
        yield server
        if server.is_there:
            server.leave()

    @pytest.fixture
    def away_bench(self, tmp_path: Path, trainer: Trainer, registry: StageServer) -> Bench:
        return trainer.bench(tmp_path / "home", registry.url)

    @pytest.fixture
    def prepare(self, tmp_path: Path, registry: StageServer, tiny: Path, make_job: JobMaker) -> Prepare:
        """Have the registry hand out a training by these rules."""

        def prepare(**rules: Any) -> None:
            job, artifacts = make_job(), ArtifactClient(registry.url, None, tmp_path / "sender")
            registry.claim = StageClaim(
                stage_id=STAGE,
                run_id=RunId("run_9"),
                token=3,
                lease_s=LEASE_S,
                attempt=1,
                request=TrainRequest(
                    domain=nano_domain(**rules),
                    dataset=push_dataset(artifacts, Path(job.train), Path(job.valid)).sha256,
                    base=BaseModelRef(name="tiny", bundle=artifacts.push_bundle(tiny, "base").sha256),
                ),
            )

        return prepare

    def test_a_registry_that_is_away_costs_a_training_nothing(
        self, prepare: Prepare, registry: StageServer, away_bench: Bench
    ) -> None:
        prepare(iterations=120, evaluate_every=40, patience=99)
        working = _begin(away_bench, registry)
        wait_for(lambda: _is_training(registry))

        registry.leave()
        (child,) = psutil.Process().children()
        child.wait(60)  # it trains to its end while nobody is there to be told
        time.sleep(AWAY_S)
        registry.come()
        working.join(60)

        (delivery,) = registry.deliveries
        assert delivery.result is not None
        assert delivery.result.kind == "train"
        assert (delivery.token, delivery.result.steps) == (3, 120)
        assert registry.claimed == 1
        assert away_bench.artifacts.fetch(delivery.result.adapter.sha256).is_file()

    def test_a_broker_that_is_away_costs_a_training_nothing(
        self,
        prepare: Prepare,
        registry: StageServer,
        away_bench: Bench,
        own_redis: Redis,
        trainer: Trainer,
    ) -> None:
        prepare(iterations=120, evaluate_every=40, patience=99)
        registry.broker_url = own_redis.url()
        with _worker(trainer, away_bench, registry) as worker:
            with stopping(own_redis.start()):
                _ring(away_bench, own_redis)
                wait_for(lambda: _is_training(registry))
            (child,) = worker.children()
            child.wait(60)  # it trains to its end without a broker
            wait_for(lambda: registry.deliveries)
            with stopping(own_redis.start()):
                left_over = _messages(own_redis, away_bench)
                _ring(away_bench, own_redis)
                wait_for(lambda: len(registry.deliveries) > 1)

        first, second = registry.deliveries
        assert first.result is not None
        assert first.result.kind == "train"
        assert first.result.steps == 120
        # No doorbell waits to be heard again; the worker heard our second one, and found everything done.
        assert left_over == 0
        assert registry.claimed == 2
        assert second.result is not None
        assert second.result.kind == "train"
        assert second.result.adapter == first.result.adapter


def wait_for(claim: Callable[[], object], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def _begin(bench: Bench, registry: StageServer) -> threading.Thread:
    """Claim the stage and work on it, in a thread of its own."""
    client = RegistryClient(registry.url)
    doing = partial(perform, STAGE, registry=client, worker="t", work=partial(work, bench=bench))
    thread = threading.Thread(target=doing, daemon=True)
    thread.start()
    return thread


@contextmanager
def _worker(trainer: Trainer, bench: Bench, registry: StageServer) -> Iterator[psutil.Process]:
    """The worker's real process."""
    environment = {
        **os.environ,
        **trainer.environment,
        "FORGE_HOME": str(bench.settings.home),
        "FORGE_REGISTRY_URL": registry.url,
    }
    process = subprocess.Popen([sys.executable, "-m", trainer.package], env=environment)
    with stopping(process):
        yield psutil.Process(process.pid)


def _ring(bench: Bench, broker: Redis) -> None:
    Producer(broker.url()).ring(bench.spec, Doorbell(stage_id=STAGE))


def _messages(broker: Redis, bench: Bench) -> int:
    """Those that nobody has heard yet, and those that were heard and not acknowledged."""
    with redis.Redis.from_url(broker.url()) as client:
        return int(client.llen(bench.spec.queue)) + int(client.hlen("unacked"))


def _is_training(registry: StageServer) -> bool:
    return any(beat.progress and beat.progress.step for beat in registry.beats)
