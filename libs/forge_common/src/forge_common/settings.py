"""Settings that several services share. Each service subclasses `CommonSettings` with its own prefix.

Built by a factory and passed down: importing a module reads no environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from forge_common.errors import Forbidden


class InstallationKeyMissing(Forbidden):
    """A service that lets nobody in does not start."""


def shared(name: str, *more: str) -> AliasChoices:
    """The one environment variable that all services read for a field."""
    return AliasChoices(name, *more)


class CommonSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_", extra="ignore", populate_by_name=True)

    home: Path = Field(default=Path("~/.forge"), validation_alias=shared("FORGE_HOME"))
    registry_url: str = Field(default="http://127.0.0.1:18795", validation_alias=shared("FORGE_REGISTRY_URL"))
    collector_url: str = Field(
        default="http://127.0.0.1:18794", validation_alias=shared("FORGE_COLLECTOR_URL")
    )
    engine_url: str = Field(default="http://127.0.0.1:11434", validation_alias=shared("FORGE_ENGINE_URL"))
    key: SecretStr | None = Field(default=None, validation_alias=shared("FORGE_KEY"))
    database_url: str = Field(
        default="postgresql+psycopg://forge@127.0.0.1:5432/forge",
        validation_alias=shared("FORGE_DATABASE_URL"),
    )
    broker_url: str = Field(default="redis://127.0.0.1:6379/0", validation_alias=shared("FORGE_BROKER_URL"))
    # What a worker dials instead of the broker that the registry hands out.
    worker_broker: str | None = Field(default=None, validation_alias=shared("FORGE_WORKER_BROKER"))
    log_level: str = Field(default="INFO", validation_alias=shared("FORGE_LOG_LEVEL"))
    log_format: Literal["console", "json"] = Field(
        default="json", validation_alias=shared("FORGE_LOG_FORMAT")
    )

    @property
    def folder(self) -> Path:
        """`home`, with `~` expanded; made when missing."""
        folder = self.home.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def installation_key(self) -> str:
        """Raises InstallationKeyMissing."""
        if not self.key_text:
            raise InstallationKeyMissing(
                "there is no installation key, and without one nobody could be let in",
                fix="run `forge init`, or set FORGE_KEY",
            )
        return self.key_text

    @property
    def key_text(self) -> str | None:
        return self.key.get_secret_value() if self.key else None
