"""The one task of this worker: a doorbell rings, the stage is claimed, both models are judged."""

from __future__ import annotations

from celery import Celery

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.stages import EvaluateRequest, EvaluateResult, StageClaim
from forge_common.contracts.tasks import EVALUATE, Doorbell
from forge_common.errors import Invalid
from forge_common.http.registry import RegistryClient
from forge_common.queue.stage import Beat, perform
from forge_common.queue.worker import handles
from forge_evaluator.evaluation import evaluate
from forge_evaluator.sandbox import NoSandbox, Tier
from forge_evaluator.settings import Settings


def register(app: Celery, registry: RegistryClient, settings: Settings, tier: Tier | NoSandbox) -> None:
    @handles(app, EVALUATE)
    def judge(doorbell: Doorbell) -> None:
        perform(
            doorbell.stage_id,
            registry=registry,
            worker=settings.worker,
            work=lambda claim, beat: work(claim, beat, settings, tier),
        )


def work(claim: StageClaim, beat: Beat, settings: Settings, tier: Tier | NoSandbox) -> EvaluateResult:
    request = claim.request
    if not isinstance(request, EvaluateRequest):
        raise Invalid(f"the evaluator cannot {request.kind}", fix="ring the queue of the stage's own service")
    artifacts = ArtifactClient(settings.registry_url, settings.key_text, settings.work / "artifacts")
    return evaluate(
        request, run_id=claim.run_id, beat=beat, settings=settings, artifacts=artifacts, tier=tier
    )
