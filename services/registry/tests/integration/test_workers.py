"""What the registry says of its workers: what they do, how fast, how much memory; and for how long it remembers them."""

from __future__ import annotations

from datetime import timedelta

import httpx2
import pytest

from forge_common.contracts.base import utc_now
from forge_common.contracts.stages import Heartbeat, Progress, StageKind
from forge_common.contracts.workers import WorkerHello
from forge_common.db.session import session_scope
from forge_common.http.registry import RegistryClient
from forge_registry.models import Worker
from forge_registry.sweeper import sweep

pytestmark = pytest.mark.integration


def seen(registry, name):
    return next(worker for worker in registry.workers() if worker.name == name)


@pytest.fixture
def box(hand):
    """A box that has said hello."""
    hello = WorkerHello(
        name="w1",
        service="trainer-cuda",
        queues=("train.cpu",),
        device="NVIDIA RTX 4070",
        memory_bytes=8 << 30,
        memory_used_bytes=1 << 30,
        versions={"torch": "2.13.0"},
    )
    hand.registry.hello(hello)
    return hello


def test_a_worker_is_listed_with_its_card_its_memory_and_its_versions(box, registry):
    found = seen(registry, box.name)

    assert (found.device, found.memory_bytes, found.memory_used_bytes) == (
        "NVIDIA RTX 4070",
        8 << 30,
        1 << 30,
    )
    assert found.versions == {"torch": "2.13.0"}
    assert (found.job, found.tokens_per_s) == (None, None)


def test_a_second_hello_replaces_what_the_first_one_said_of_memory(box, registry):
    registry.hello(box.model_copy(update={"memory_used_bytes": 6 << 30}))

    assert seen(registry, box.name).memory_used_bytes == 6 << 30


def test_a_worker_that_trains_shows_run_step_and_speed(box, hand, registry):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.TRAIN)
    claim = hand.claim(run)
    progress = Progress(message="training", step=30, of=120, eta_s=90, metrics={"tokens_per_s": 812.5})
    registry.heartbeat(claim.stage_id, Heartbeat(token=claim.token, progress=progress))

    found = seen(registry, "w1")

    assert found.job is not None
    assert (found.job.run_id, found.job.stage, found.job.domain) == (run.id, StageKind.TRAIN, "tiny")
    assert (found.job.message, found.job.step, found.job.of, found.job.eta_s) == ("training", 30, 120, 90)
    assert found.tokens_per_s == 812.5


def test_a_job_that_was_just_claimed_shows_nothing_of_an_earlier_attempt(box, hand, registry):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.TRAIN)
    first = hand.claim(run)
    registry.heartbeat(first.stage_id, Heartbeat(token=first.token, progress=Progress(step=30, of=120)))
    hand.fail(first, retryable=True)

    hand.claim(run, claim_id="again")

    assert seen(registry, "w1").job.step is None


def test_a_worker_that_is_done_shows_the_speed_of_its_last_training_and_no_job(box, hand, registry):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.TRAIN)
    hand.step(run)

    found = seen(registry, "w1")
    result = next(s.result for s in registry.run(run.id).stages if s.kind is StageKind.TRAIN)
    assert found.job is None
    assert found.tokens_per_s == pytest.approx(result["tokens"] / result["seconds"])


def test_a_worker_that_nobody_has_heard_of_for_a_week_is_forgotten_and_a_recent_one_is_not(
    box, context, registry
):
    with session_scope(context.database) as session:
        for name, days in (("old", 8), ("recent", 6)):
            session.add(
                Worker(
                    name=name,
                    service="s",
                    queues=[],
                    versions={},
                    last_seen=utc_now() - timedelta(days=days),
                )
            )

    sweep(context)

    names = {worker.name for worker in registry.workers()}
    assert "old" not in names
    assert {"recent", box.name} <= names


def test_a_private_ca_is_shown_to_whoever_asks_and_its_absence_is_said(settings, serve, tmp_path):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")

    with_ca = serve(settings.model_copy(update={"tls_ca": tmp_path / "ca.pem"}))
    without = serve(settings)

    assert httpx2.get(f"{with_ca}/ca.pem").text.startswith("-----BEGIN")
    assert httpx2.get(f"{without}/ca.pem").json()["code"] == "no_private_ca"


def test_the_brokers_tls_address_is_handed_out_beside_the_plain_one(settings, serve, box):
    url = serve(settings.model_copy(update={"tls_broker_url": "rediss://:pw@127.0.0.1:18847/0"}))

    welcome = RegistryClient(url, settings.key_text).hello(box)

    assert (welcome.broker_url, welcome.tls_broker_url) == (
        settings.broker_url,
        "rediss://:pw@127.0.0.1:18847/0",
    )
