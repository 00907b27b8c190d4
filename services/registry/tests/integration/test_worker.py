"""The worker as a process of its own: bells come from the broker, work is claimed over HTTP, beats ring the sweeper."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from forge_common.contracts.runs import AttemptState, RunKind, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import StageKind
from forge_common.contracts.tasks import DEPLOY, SWEEP, Tick
from forge_common.errors import DependencyDown
from forge_common.http.registry import RegistryClient
from forge_common.local.process import free_port
from forge_common.queue.producer import Producer
from forge_common.queue.stage import heartbeats

pytestmark = pytest.mark.integration

PATIENCE_S = 180.0


@pytest.fixture
def settings(settings):
    """Times short enough to watch a takeover."""
    return settings.model_copy(update={"lease_s": 4.0, "sweep_every_s": 0.5, "ring_again_s": 1.0})


@pytest.fixture
def spawn_at(settings) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    processes = []

    def start(registry_url: str, command: str, **more: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "FORGE_KEY": settings.key_text,
            "FORGE_HOME": str(settings.home),
            "FORGE_DATABASE_URL": settings.database_url,
            "FORGE_BROKER_URL": settings.broker_url,
            "FORGE_REGISTRY_URL": registry_url,
            "FORGE_ENGINE_URL": settings.engine_url,
            "FORGE_REGISTRY_LEASE_S": "4",
            "FORGE_REGISTRY_SWEEP_EVERY_S": "0.5",
            "FORGE_REGISTRY_RING_AGAIN_S": "1",
        }
        process = subprocess.Popen([sys.executable, "-m", "forge_registry", command], env=environment | more)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def spawn(spawn_at, registry) -> Callable[..., subprocess.Popen[bytes]]:
    return partial(spawn_at, registry.base_url)


def test_a_bell_brings_the_deployment_and_the_run_ends_with_v0_live(
    hand, registry, spawn, engine, eventually
):
    hand.domain()
    spawn("worker")
    run = hand.start(kind=RunKind.BASE)

    hand.step(run)
    eventually(lambda: registry.run(run.id).state.is_final, PATIENCE_S)

    ended = registry.run(run.id)
    assert ended.state is RunState.PROMOTED
    assert ended.stages[-1].result["deployed"][0]["probes_equal"] == 1
    assert "engie-tiny:v0" in engine.models
    eventually(lambda: "engie-tiny:latest" in engine.models)


def test_a_worker_killed_while_it_deploys_loses_nothing(hand, registry, spawn, engine, eventually):
    hand.domain()
    engine.hold = threading.Event()
    worker = spawn("worker")
    run = hand.start(kind=RunKind.BASE)
    hand.step(run)
    eventually(lambda: any(path == "/api/create" for path, _ in engine.calls), PATIENCE_S)

    worker.send_signal(signal.SIGKILL)
    engine.hold.set()
    spawn("worker")
    eventually(lambda: registry.run(run.id).state.is_final, PATIENCE_S)

    ended = registry.run(run.id)
    assert ended.state is RunState.PROMOTED
    assert [a.state for a in ended.stages[-1].attempts] == [AttemptState.LOST, AttemptState.DONE]
    assert len(registry.promotions("tiny")) == 1


def test_a_registry_that_is_away_for_two_leases_costs_no_live_worker_its_stage(
    spawn_at, settings, hand_at, eventually
):
    port, lease_s = free_port(), 5.0
    own = RegistryClient(f"http://127.0.0.1:{port}", settings.key_text)
    times = {"FORGE_REGISTRY_PORT": str(port), "FORGE_REGISTRY_LEASE_S": str(lease_s)}
    served = spawn_at(own.base_url, "serve", **times)
    eventually(lambda: answers(own), PATIENCE_S)
    hand = hand_at(own)
    hand.domain()
    run = hand.start()
    spawn_at(own.base_url, "worker", **times)
    eventually(lambda: any(worker.service == "registry" for worker in own.workers()), PATIENCE_S)

    with heartbeats(own, hand.claim(run)):
        served.kill()
        served.wait()
        time.sleep(2 * lease_s)
        spawn_at(own.base_url, "serve", **times)
        eventually(lambda: answers(own), PATIENCE_S)
        time.sleep(2 * lease_s)

    assert [attempt.state for attempt in own.run(run.id).stages[0].attempts] == [AttemptState.CLAIMED]


def answers(registry) -> bool:
    try:
        registry.domains()
    except DependencyDown:
        return False
    return True


def test_the_gates_promotion_is_carried_out_by_the_worker(hand, registry, spawn, eventually):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.EVALUATE)
    hand.step(run, Verdict.PROMOTE)
    assert registry.run(run.id).state is RunState.DECIDING

    spawn("worker")
    eventually(lambda: registry.run(run.id).state.is_final, PATIENCE_S)

    assert registry.run(run.id).state is RunState.PROMOTED


def test_the_beat_alone_rings_the_sweeper(spawn, queued, eventually):
    spawn("beat")

    eventually(lambda: len(queued(SWEEP.queue)) >= 2, PATIENCE_S)


def test_a_worker_says_what_it_consumes(registry, spawn, eventually):
    spawn("worker")

    eventually(
        lambda: any(set(w.queues) == {DEPLOY.queue, SWEEP.queue} and w.is_alive for w in registry.workers()),
        PATIENCE_S,
    )


def test_a_worker_ends_at_sigterm(settings, spawn, queued, eventually):
    Producer(settings.broker_url).ring(SWEEP, Tick())
    worker = spawn("worker")
    eventually(lambda: queued(SWEEP.queue) == [], PATIENCE_S)

    worker.terminate()

    assert worker.wait(60) == 0
