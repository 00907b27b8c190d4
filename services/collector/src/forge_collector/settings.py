"""The collector's settings; the shared ones are in `CommonSettings`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import ByteSize, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from forge_common.contracts.base import Slug
from forge_common.settings import CommonSettings, shared

MB = 1024 * 1024
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Settings(CommonSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_COLLECTOR_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = 18794
    # Where each dialect's requests go; its paths are put behind the URL as they are, OpenAI's without their /v1.
    openai_upstream: str = "https://api.openai.com/v1"
    anthropic_upstream: str = "https://api.anthropic.com"
    ollama_upstream: str = "http://127.0.0.1:11434"
    engie_upstream: str = "http://127.0.0.1:28791"
    # Until the registry was heard of for the first time.
    domain: Slug = "coding"
    # What is kept of one exchange, request and reply together; larger ones pass uncaptured.
    max_exchange: ByteSize = ByteSize(128 * MB)
    spool_limit: ByteSize = ByteSize(4096 * MB)
    spool_segment: ByteSize = ByteSize(64 * MB)
    # Disk space kept back, so that the spool still grows for a while when everything else is full.
    spool_reserve: ByteSize = ByteSize(64 * MB)
    # Everything appended in this window shares one fsync; a power cut costs at most so much.
    fsync_window: timedelta = timedelta(milliseconds=5)
    drain_batch: int = 2000
    # After the first exchange of a batch, wait for others so long.
    drain_linger: timedelta = timedelta(seconds=1)
    # Who answers again what another model answered: the domain's live model there, and a teacher where one is named.
    gateway_url: str = Field(default="http://127.0.0.1:18793", validation_alias=shared("FORGE_GATEWAY_URL"))
    api_keys: SecretStr = Field(default=SecretStr(""), validation_alias=shared("FORGE_API_KEYS"))
    teacher_url: str | None = Field(default=None, validation_alias=shared("FORGE_TEACHER_URL"))
    teacher_model: str | None = Field(default=None, validation_alias=shared("FORGE_TEACHER_MODEL"))
    teacher_key: SecretStr | None = Field(default=None, validation_alias=shared("FORGE_TEACHER_KEY"))
    # How often the worker looks for due shadow calls, and how long a model may take for one answer.
    shadow_every: timedelta = timedelta(seconds=10)
    answer_patience: timedelta = timedelta(seconds=180)
    # Tasks of the queue that one worker does at once; shadow calls leave one of them free for preparing runs.
    worker_threads: int = Field(default=4, ge=2)
    # Whether pass-through traffic needs the Forge's key, too. Always, when others than this machine can reach us.
    require_key: bool = False

    @property
    def gateway_key(self) -> str | None:
        """One of the gateway's keys, where it has any; it does not mind one that it does not need."""
        keys = [key.strip() for key in self.api_keys.get_secret_value().split(",")]
        return next((key for key in keys if key), self.key_text)

    @property
    def spool_folder(self) -> Path:
        return self.folder / "collector" / "spool"

    @property
    def capture_rules(self) -> Path:
        return self.folder / "collector" / "capture-rules.json"

    @property
    def prices(self) -> Path:
        return self.folder / "collector" / "prices.json"

    @property
    def artifact_cache(self) -> Path:
        return self.folder / "cache" / "artifacts"

    @property
    def expression_cache(self) -> Path:
        return self.folder / "cache" / "expressions"

    @property
    def needs_key(self) -> bool:
        return self.require_key or self.host not in LOOPBACK
