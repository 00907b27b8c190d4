"""Everything that lives as long as the collector's process, put together: spool, drainer, recorder, routes, clients."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from forge_collector import repository, rules_table
from forge_collector.active_domain import ActiveDomain
from forge_collector.capture_rules import CaptureRulesByDomain
from forge_collector.dialects.anthropic import Anthropic
from forge_collector.dialects.engie import Engie
from forge_collector.dialects.ollama import Ollama
from forge_collector.dialects.openai import OpenAI
from forge_collector.drainer import Drainer
from forge_collector.forgetting import Forgetter
from forge_collector.health import Probe
from forge_collector.metrics import CollectorMetrics
from forge_collector.model_rules import ModelRule, ModelRules
from forge_collector.models import SCHEMA
from forge_collector.prices import Prices
from forge_collector.recorder import Recorder
from forge_collector.routing import Lane, Router, make_lane
from forge_collector.settings import Settings
from forge_collector.spool import Spool
from forge_collector.unused import PATIENCE_S
from forge_common.artifacts import ArtifactClient
from forge_common.db.migrate import upgrade
from forge_common.db.session import make_engine, session_scope
from forge_common.http.registry import RegistryClient


class Collector:
    def __init__(self, settings: Settings) -> None:
        key = settings.installation_key
        self.settings = settings
        self.key = key
        self.engine = make_engine(settings.database_url)
        self.registry = RegistryClient(settings.registry_url, key)
        self.impatient_registry = RegistryClient(settings.registry_url, key, timeout_s=PATIENCE_S)
        self.artifacts = ArtifactClient(settings.registry_url, key, settings.artifact_cache)
        self.spool = Spool(
            settings.spool_folder,
            limit_bytes=settings.spool_limit,
            segment_bytes=settings.spool_segment,
            fsync_s=settings.fsync_window.total_seconds(),
            reserve_bytes=settings.spool_reserve,
        )
        self.drainer = Drainer(
            self.spool,
            self.engine,
            batch=settings.drain_batch,
            linger_s=settings.drain_linger.total_seconds(),
            migrate=lambda: upgrade(settings.database_url, package="forge_collector", schema=SCHEMA),
        )
        self.capture_rules = CaptureRulesByDomain(settings.capture_rules)
        self.active_domain = ActiveDomain(
            self.registry,
            settings.spool_folder.parent / "active-domain",
            fallback=settings.domain,
            rules=self.capture_rules,
        )
        self.model_rules = ModelRules(
            settings.spool_folder.parent / "model-rules.json", self._stored_model_rules
        )
        self.prices = Prices(settings.prices)
        self.recorder = Recorder(
            self.spool,
            self.active_domain,
            model_rules=self.model_rules,
            redaction=self.capture_rules,
            max_bytes=settings.max_exchange,
            later=lambda do: asyncio.get_running_loop().call_soon(do),
            is_draining=lambda: not self.drainer.stats.is_down,
            prices=self.prices,
        )
        self.router = Router(lanes(settings), self.recorder, key=key if settings.needs_key else None)
        self.forgetter = Forgetter(self.engine, self.registry)
        self.postgres = Probe(self.check_postgres)
        self.metrics = CollectorMetrics(self.spool, self.recorder, self.drainer)

    def start(self) -> None:
        self.recorder.warm_up()
        self.active_domain.start()
        self.model_rules.start()
        self.drainer.start()
        self.forgetter.start()
        REGISTRY.register(self.metrics)

    def stop(self) -> None:
        """What passed is stored, or safe in the spool for the next start."""
        REGISTRY.unregister(self.metrics)
        self.active_domain.stop()
        self.model_rules.stop()
        self.forgetter.stop()
        self.recorder.stop()
        self.drainer.stop()
        self.spool.close()
        self.engine.dispose()

    def _stored_model_rules(self) -> list[ModelRule]:
        with session_scope(self.engine) as session:
            return rules_table.model_rules(session)

    def check_postgres(self) -> None:
        with session_scope(self.engine) as session:
            repository.check(session)


def lanes(settings: Settings) -> dict[str, Lane]:
    """By prefix; where none is given, the first whose paths fit."""
    # Who has taken the Engie proxy's old address answers its chats on the path that they share with OpenAI's.
    is_engie = settings.openai_upstream.rstrip("/") == f"{settings.engie_upstream.rstrip('/')}/v1"
    return {
        "openai": make_lane(Engie() if is_engie else OpenAI(), "/v1", settings.openai_upstream),
        "anthropic": make_lane(Anthropic(), "", settings.anthropic_upstream),
        "ollama": make_lane(Ollama(), "", settings.ollama_upstream),
        "engie": make_lane(Engie(), "", settings.engie_upstream),
    }
