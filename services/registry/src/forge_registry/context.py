"""What the registry's processes share: settings, the database, the artifact store, the ways out. Built once, passed down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Engine as Database
from sqlalchemy import text

from forge_common.artifacts import ArtifactStore
from forge_common.db.session import make_engine, session_scope
from forge_common.engine import Engine
from forge_common.queue.producer import Producer
from forge_registry import alias, deliveries, preflight
from forge_registry.deploy import Deployment
from forge_registry.models import Outbox, Version
from forge_registry.settings import Settings


@dataclass(frozen=True)
class Context:
    settings: Settings

    @cached_property
    def database(self) -> Database:
        return make_engine(self.settings.database_url)

    @cached_property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.settings.artifact_root)

    @cached_property
    def engine(self) -> Engine:
        """The one that serves the models, asked what may take minutes."""
        return Engine(self.settings.engine_url)

    @cached_property
    def quick_engine(self) -> Engine:
        """The same, asked what must not hold anybody up when it hangs."""
        return Engine(self.settings.engine_url, timeout_s=self.settings.preflight_timeout_s)

    @cached_property
    def producer(self) -> Producer:
        return Producer(self.settings.broker_url)

    def ring(self, row: Outbox) -> None:
        """Send a BELL row."""
        self.producer.send(row.subject, row.queue, row.payload)

    def follow(self, row: Outbox) -> None:
        """Carry out an ALIAS row."""
        alias.follow(self.database, self.quick_engine, row.subject)

    def preflight(self, version: Version) -> None:
        """Raises PreflightRefused, DependencyDown."""
        preflight.check(self.quick_engine, version)

    def make_ready(self, version: Version) -> None:
        """Put the version back where the engine lost it, then ask it. Raises PreflightRefused, DependencyDown."""
        settings = self.settings
        deployment = Deployment(
            self.engine, self.store.path, settings.parity_share, settings.engine_patience_s
        )
        restored = preflight.restore(self.quick_engine, version, deployment.put)
        if restored is not None:
            deliveries.restored(self.database, version, restored)
        self.preflight(version)

    def check_database(self) -> None:
        with session_scope(self.database) as session:
            session.execute(text("select 1"))
