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
from forge_registry import alias, preflight
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
        """The one that serves the models."""
        return Engine(self.settings.engine_url)

    @cached_property
    def producer(self) -> Producer:
        return Producer(self.settings.broker_url)

    def ring(self, row: Outbox) -> None:
        """Send a BELL row."""
        self.producer.send(row.subject, row.queue, row.payload)

    def follow(self, row: Outbox) -> None:
        """Carry out an ALIAS row."""
        alias.follow(self.database, self.engine, row.subject)

    def preflight(self, version: Version) -> None:
        """Raises PreflightRefused, DependencyDown."""
        preflight.check(self.engine, version)

    def check_database(self) -> None:
        with session_scope(self.database) as session:
            session.execute(text("select 1"))
