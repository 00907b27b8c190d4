"""A doorbell on the real queue becomes a dataset that is delivered to the registry."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.stages import PrepareRequest, StageClaim
from forge_common.contracts.tasks import PREPARE, Doorbell
from forge_common.queue.producer import Producer
from forge_common.testing.plugin import stopping

pytestmark = pytest.mark.integration


def claim(min_examples: int) -> dict[str, Any]:
    document = DomainDocument.model_validate(
        {"id": "legal", "name": "L", "base_model": "b", "model_prefix": "engie-legal", "data": {"min_examples": min_examples}}
    )  # fmt: skip
    request = PrepareRequest(domain=document)
    stage = StageClaim(
        stage_id=StageId("stage_1"), run_id=RunId("run_1"), token=7, lease_s=30, attempt=1, request=request
    )
    return stage.model_dump(mode="json")


def test_a_doorbell_is_answered_with_a_dataset_and_then_with_a_reason(
    collector: Any, registry: Any, redis_url: str, tmp_path: Path
) -> None:
    lines = "\n".join(f'{{"prompt":"what is {i}?","response":"it is {i}"}}' for i in range(40))
    collector.api("POST", "import?domain=legal", content=lines.encode())
    registry.broker_url, registry.claim = redis_url, claim(min_examples=20)
    env = {**os.environ, **collector.env, "FORGE_HOME": str(tmp_path), "FORGE_COLLECTOR_URL": collector.url}
    log = (tmp_path / "worker.log").open("wb")
    worker = subprocess.Popen(
        [sys.executable, "-m", "forge_collector", "worker"], env=env, stdout=log, stderr=log
    )

    with stopping(worker):
        Producer(redis_url).ring(PREPARE, Doorbell(stage_id=StageId("stage_1")))
        done = registry.deliveries.get(timeout=300)
        registry.claim = claim(min_examples=2000)
        Producer(redis_url).ring(PREPARE, Doorbell(stage_id=StageId("stage_1")))
        failed = registry.deliveries.get(timeout=240)

    assert registry.hellos[0]["queues"] == ["collector"]
    assert done["token"] == 7
    assert done["result"]["train_rows"] + done["result"]["valid_rows"] == 40
    assert registry.store.has(done["result"]["dataset"]["sha256"])
    assert failed["failure"]["code"] == "dataset_too_small"
    assert "capture more traffic" in failed["failure"]["fix"]
