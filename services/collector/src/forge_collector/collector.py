"""Everything that lives as long as the collector's process: the data plane, and what joins it to Postgres and the registry."""

from __future__ import annotations

from prometheus_client import REGISTRY

from forge_collector import repository, rules_table
from forge_collector.data_plane import DataPlane
from forge_collector.drainer import Drainer
from forge_collector.forgetting import Forgetter
from forge_collector.health import Probe
from forge_collector.metrics import CollectorMetrics
from forge_collector.model_rules import ModelRule
from forge_collector.models import SCHEMA
from forge_collector.unused import PATIENCE_S
from forge_common.artifacts import ArtifactClient
from forge_common.db.migrate import upgrade
from forge_common.db.session import make_engine, session_scope
from forge_common.http.registry import RegistryClient


class Collector:
    """Made while traffic passes through `plane` already."""

    def __init__(self, plane: DataPlane) -> None:
        self.settings = settings = plane.settings
        self.key = key = plane.key
        self.spool, self.recorder, self.prices = plane.spool, plane.recorder, plane.prices
        self.capture_rules, self.active_domain = plane.capture_rules, plane.active_domain
        self.model_rules = plane.model_rules
        self._plane = plane
        self.engine = make_engine(settings.database_url)
        self.registry = RegistryClient(settings.registry_url, key)
        self.impatient_registry = RegistryClient(settings.registry_url, key, timeout_s=PATIENCE_S)
        self.artifacts = ArtifactClient(settings.registry_url, key, settings.artifact_cache)
        self.drainer = Drainer(
            self.spool,
            self.engine,
            batch=settings.drain_batch,
            linger_s=settings.drain_linger.total_seconds(),
            migrate=lambda: upgrade(settings.database_url, package="forge_collector", schema=SCHEMA),
        )
        self.forgetter = Forgetter(self.engine, self.registry)
        self.postgres = Probe(self.check_postgres)
        self.metrics = CollectorMetrics(self.spool, self.recorder, self.drainer)

    def start(self) -> None:
        self._plane.drainer = self.drainer
        self.active_domain.start(self.registry)
        self.model_rules.start(self.stored_model_rules)
        self.drainer.start()
        self.forgetter.start()
        REGISTRY.register(self.metrics)

    def stop(self) -> None:
        """What passed is stored, or safe in the spool for the next start."""
        REGISTRY.unregister(self.metrics)
        self.forgetter.stop()
        self._plane.stop()
        self.drainer.stop()
        self.spool.close()
        self.engine.dispose()

    def stored_model_rules(self) -> list[ModelRule]:
        with session_scope(self.engine) as session:
            return rules_table.model_rules(session)

    def check_postgres(self) -> None:
        with session_scope(self.engine) as session:
            repository.check(session)
