"""Working on a stage, against a registry whose answers the test decides."""

import json
import threading

import httpx2
import pytest

from forge_common.contracts.base import StageId
from forge_common.contracts.stages import Progress
from forge_common.errors import Cancelled, DependencyDown, Invalid
from forge_common.http.registry import RegistryClient
from forge_common.queue.stage import perform

CLAIM = {
    "stage_id": "s1",
    "run_id": "r1",
    "token": 4,
    "lease_s": 0.3,
    "attempt": 1,
    "request": {"kind": "deploy", "versions": []},
}
DONE = {"kind": "deploy", "deployed": []}


class Desk:
    """Answers as the registry would, and remembers what it was told."""

    def __init__(self):
        self.deliveries, self.beats = [], []
        self.claim_status, self.beat_reply, self.away = 200, {"lease_s": 0.3}, 0
        self.in_between, self.spoken_between = None, 0

    def __call__(self, request):
        body = json.loads(request.content)
        if self.in_between:
            self.spoken_between += 1
            return httpx2.Response(self.in_between, text="<html>not here</html>")
        if request.url.path.endswith("/claim"):
            refusal = {"code": "stage_taken", "detail": "taken"}
            return httpx2.Response(self.claim_status, json=CLAIM if self.claim_status == 200 else refusal)
        if request.url.path.endswith("/heartbeat"):
            self.beats.append(body)
            return httpx2.Response(200 if "lease_s" in self.beat_reply else 409, json=self.beat_reply)
        if self.away:
            self.away -= 1
            return httpx2.Response(503, json={"code": "down", "detail": "away"})
        self.deliveries.append(body)
        return httpx2.Response(204)


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def registry(desk):
    client = RegistryClient("http://registry.test")
    client._http = httpx2.Client(base_url="http://registry.test", transport=httpx2.MockTransport(desk))
    return client


def do(registry, work):
    perform(StageId("s1"), registry=registry, worker="w", work=work)


def deployed():
    from forge_common.contracts.stages import DeployResult

    return DeployResult(deployed=())


def test_the_result_is_delivered_with_the_claims_token(registry, desk):
    do(registry, lambda claim, beat: deployed())

    assert desk.deliveries == [{"token": 4, "result": DONE, "failure": None}]


def test_a_taken_stage_is_left_alone(registry, desk):
    desk.claim_status = 409

    do(registry, lambda claim, beat: pytest.fail("worked on a stage that somebody else has"))

    assert desk.deliveries == []


def test_a_forge_error_becomes_a_failure_with_its_fix(registry, desk):
    def fails(claim, beat):
        raise Invalid("37 rows", code="dataset_too_small", fix="capture more")

    do(registry, fails)

    failure = desk.deliveries[0]["failure"]
    assert (failure["code"], failure["fix"], failure["retryable"]) == (
        "dataset_too_small",
        "capture more",
        False,
    )


def test_something_that_is_down_is_worth_another_attempt(registry, desk):
    def fails(claim, beat):
        raise DependencyDown("the engine does not answer")

    do(registry, fails)

    assert desk.deliveries[0]["failure"]["retryable"] is True


def test_a_bug_is_reported_as_one(registry, desk):
    do(registry, lambda claim, beat: {}["missing"])

    assert desk.deliveries[0]["failure"]["code"] == "bug"


def test_a_delivery_waits_for_a_registry_that_is_away(registry, desk):
    desk.away = 1

    do(registry, lambda claim, beat: deployed())

    assert len(desk.deliveries) == 1


@pytest.mark.parametrize("status", [302, 403, 404])
def test_what_a_proxy_says_in_the_registrys_place_takes_no_stage_away(registry, desk, status):
    def works(claim, beat):
        desk.in_between = status
        wait_for(lambda: desk.spoken_between >= 2)
        assert not beat.cancelled.is_set()
        # Still in between when the result is delivered.
        threading.Timer(0.3, lambda: setattr(desk, "in_between", None)).start()
        return deployed()

    do(registry, works)

    assert [delivery["result"] for delivery in desk.deliveries] == [DONE]


def test_progress_reaches_the_registry(registry, desk):
    def works(claim, beat):
        beat.progress(Progress(step=3, of=9, metrics={"loss": 1.5}))
        wait_for(lambda: any(b["progress"] for b in desk.beats))
        return deployed()

    do(registry, works)

    shown = next(b["progress"] for b in desk.beats if b["progress"])
    assert (shown["step"], shown["of"], shown["metrics"]) == (3, 9, {"loss": 1.5})


def test_a_cancelled_run_stops_the_work(registry, desk):
    desk.beat_reply = {"lease_s": 0.3, "cancel": True}

    def works(claim, beat):
        assert beat.cancelled.wait(5)
        beat.check()

    do(registry, works)

    assert desk.deliveries[0]["failure"]["code"] == "cancelled"


def test_a_lost_lease_stops_the_work_and_delivers_nothing(registry, desk):
    desk.beat_reply = {"code": "stale_token", "detail": "stale"}

    def works(claim, beat):
        assert beat.cancelled.wait(5)
        with pytest.raises(Cancelled):
            beat.check()
        return beat.check()

    do(registry, works)

    assert desk.deliveries == []


def wait_for(condition):
    for _ in range(100):
        if condition():
            return
        threading.Event().wait(0.05)
    raise AssertionError("waited in vain")
