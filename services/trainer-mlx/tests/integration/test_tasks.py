"""From the doorbell to the delivery, over HTTP, with a child that really trains."""

from __future__ import annotations

import dataclasses
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.stages import (
    HeartbeatReply,
    PrepareRequest,
    StageClaim,
    StageDelivery,
    TrainRequest,
)
from forge_common.contracts.tasks import TRAIN_MLX, Doorbell
from forge_common.weights.worker import make_app

pytestmark = pytest.mark.integration

STAGE = StageId("stage_7")


class Registry:
    """One stage of a registry: hands out `request` and keeps what was delivered."""

    def __init__(self, request):
        self.claim = StageClaim(
            stage_id=STAGE, run_id=RunId("run_7"), token=3, lease_s=3, attempt=1, request=request
        )
        self.deliveries: list[StageDelivery] = []
        self.progress: list[str] = []


class Handler(BaseHTTPRequestHandler):
    registry: Registry

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        match self.path.removeprefix(f"/v1/stages/{STAGE}/"):
            case "claim":
                self._answer(self.registry.claim.model_dump_json())
            case "heartbeat":
                self.registry.progress.append(body.decode())
                self._answer(HeartbeatReply(lease_s=3).model_dump_json())
            case "result":
                self.registry.deliveries.append(StageDelivery.model_validate_json(body))
                self._answer("{}")

    def log_message(self, *_):
        pass

    def _answer(self, body: str):
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def ring(bench):
    """Ring the doorbell of a stage with `request`; returns the registry afterwards."""
    servers = []

    def ring(request) -> Registry:
        registry = Registry(request)
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("One", (Handler,), {"registry": registry}))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        settings = bench.settings.model_copy(update={"registry_url": url})
        app = make_app("memory://", dataclasses.replace(bench, settings=settings))
        app.tasks[TRAIN_MLX.name](Doorbell(stage_id=STAGE).model_dump_json())
        return registry

    yield ring
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_doorbell_leads_to_a_delivered_adapter(ring, bench, tiny_base, make_dataset, make_domain):
    request = TrainRequest(domain=make_domain(), dataset=make_dataset().sha256, base=tiny_base)

    registry = ring(request)

    (delivery,) = registry.deliveries
    assert delivery.token == 3
    assert delivery.result.kind == "train"
    assert bench.artifacts.fetch(delivery.result.adapter.sha256).is_file()
    made_by = {"mlx", "mlx-lm", "transformers", "forge-trainer-mlx", "forge-common"}
    assert made_by | {"jinja2", "numpy", "safetensors", "tokenizers"} == set(delivery.result.versions)
    assert {"python", "platform", "processor", "threads"} <= set(delivery.result.environment)
    assert delivery.result.peak_memory_bytes > 50e6
    assert delivery.result.device
    assert any("loading the base model" in beat for beat in registry.progress)


def test_what_went_wrong_is_delivered_with_its_fix(ring, tiny_base, make_dataset, make_domain):
    domain = make_domain(max_seq_length=32)

    registry = ring(TrainRequest(domain=domain, dataset=make_dataset().sha256, base=tiny_base))

    (delivery,) = registry.deliveries
    assert delivery.failure.code == "nothing_to_train_on"
    assert "max_seq_length" in delivery.failure.fix
    assert not delivery.failure.retryable


def test_a_stage_of_another_service_is_refused(ring, make_domain):
    registry = ring(PrepareRequest(domain=make_domain()))

    assert registry.deliveries[0].failure.code == "wrong_stage"
