"""What rings on the queue `collector`: preparing a run's dataset, and the tick of shadow calls."""

from __future__ import annotations

import httpx2
from celery import Celery
from celery.signals import worker_shutting_down

from forge_collector import datasets
from forge_collector.settings import Settings
from forge_collector.shadow_calls import ShadowCalls
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.stages import PrepareRequest, PrepareResult, StageClaim
from forge_common.contracts.tasks import PREPARE, SHADOW, Doorbell, Tick
from forge_common.db.session import make_engine
from forge_common.errors import ForgeError
from forge_common.http.client import make_client, raise_for_problem
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger
from forge_common.queue.stage import Beat, perform
from forge_common.queue.worker import handles

log = get_logger()


def register(app: Celery, settings: Settings, worker: str) -> None:
    """Add the handlers to a worker's app."""
    key = settings.installation_key
    registry = RegistryClient(settings.registry_url, key)
    preparation = Preparation(settings)

    @handles(app, PREPARE)
    def prepare(doorbell: Doorbell) -> None:
        perform(doorbell.stage_id, registry=registry, worker=worker, work=preparation)

    # One thread stays free for preparing: a run does not wait for a shadow.
    shadow_calls = ShadowCalls(settings, registry, slots=settings.worker_threads - 1)
    worker_shutting_down.connect(lambda **_: shadow_calls.stop(), weak=False)

    @handles(app, SHADOW)
    def shadow(_: Tick) -> None:
        shadow_calls.work()


class Preparation:
    """The PREPARE stage: what was captured becomes the run's dataset."""

    def __init__(self, settings: Settings) -> None:
        key = settings.installation_key
        self._engine = make_engine(settings.database_url, pool_size=2)
        self._artifacts = ArtifactClient(settings.registry_url, key, settings.artifact_cache)
        self._collector = make_client(settings.collector_url, key=key)

    def __call__(self, claim: StageClaim, beat: Beat) -> PrepareResult:
        request = claim.request
        assert isinstance(request, PrepareRequest)  # the registry rings each stage's own queue
        self._await_drain()
        beat.check()
        ref, manifest = datasets.build(
            self._engine,
            self._artifacts,
            request.domain,
            benchmark=request.benchmark,
            run_id=claim.run_id,
            report=beat.progress,
        )
        return PrepareResult(dataset=ref, train_rows=manifest.train_rows, valid_rows=manifest.valid_rows)

    def _await_drain(self) -> None:
        """What was captured just before the run belongs to it. A collector that is away has nothing new in Postgres."""
        try:
            raise_for_problem(self._collector.post("/forge/v1/drain"))
        except (httpx2.TransportError, ForgeError) as error:
            log.warning("drain.skipped", reason=str(error))
