"""Everything that lives as long as the collector's process, put together: spool, drainer, recorder, routes, clients."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from forge_collector import repository
from forge_collector.active_domain import ActiveDomain
from forge_collector.dialects.openai import OpenAI
from forge_collector.drainer import Drainer
from forge_collector.metrics import CollectorMetrics
from forge_collector.recorder import Recorder
from forge_collector.routing import Lane, Router, make_lane
from forge_collector.settings import Settings
from forge_collector.spool import Spool
from forge_common.artifacts import ArtifactClient
from forge_common.db.session import make_engine, session_scope
from forge_common.http.registry import RegistryClient


class Collector:
    def __init__(self, settings: Settings) -> None:
        key = settings.installation_key
        self.key = key
        self.engine = make_engine(settings.database_url)
        self.registry = RegistryClient(settings.registry_url, key)
        self.artifacts = ArtifactClient(settings.registry_url, key, settings.artifact_cache)
        self.spool = Spool(
            settings.spool_folder,
            limit_bytes=settings.spool_limit,
            segment_bytes=settings.spool_segment,
            fsync_s=settings.fsync_window.total_seconds(),
        )
        self.drainer = Drainer(
            self.spool,
            self.engine,
            batch=settings.drain_batch,
            linger_s=settings.drain_linger.total_seconds(),
        )
        self.active_domain = ActiveDomain(
            self.registry, settings.spool_folder.parent / "active-domain", fallback=settings.domain
        )
        self.recorder = Recorder(
            self.spool,
            self.active_domain,
            max_bytes=settings.max_exchange,
            later=lambda do: asyncio.get_running_loop().call_soon(do),
        )
        self.router = Router(lanes(settings), self.recorder, key=key if settings.needs_key else None)
        self.metrics = CollectorMetrics(self.spool, self.recorder, self.drainer)

    def start(self) -> None:
        self.active_domain.start()
        self.drainer.start()
        REGISTRY.register(self.metrics)

    def stop(self) -> None:
        """What passed is stored, or safe in the spool for the next start."""
        REGISTRY.unregister(self.metrics)
        self.active_domain.stop()
        self.recorder.pool.shutdown()
        self.drainer.stop()
        self.spool.close()
        self.engine.dispose()

    def check_postgres(self) -> None:
        with session_scope(self.engine) as session:
            repository.check(session)


def lanes(settings: Settings) -> dict[str, Lane]:
    """By prefix; where none is given, the first whose paths fit."""
    return {"openai": make_lane(OpenAI(), "/v1", settings.openai_upstream)}
