"""The collector's settings; the shared ones are in `CommonSettings`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import ByteSize
from pydantic_settings import SettingsConfigDict

from forge_common.contracts.base import Slug
from forge_common.settings import CommonSettings

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
    # Everything appended in this window shares one fsync; a power cut costs at most so much.
    fsync_window: timedelta = timedelta(milliseconds=3)
    drain_batch: int = 500
    # After the first exchange of a batch, wait for others so long.
    drain_linger: timedelta = timedelta(milliseconds=50)
    # Whether pass-through traffic needs the Forge's key, too. Always, when others than this machine can reach us.
    require_key: bool = False

    @property
    def spool_folder(self) -> Path:
        return self.folder / "collector" / "spool"

    @property
    def artifact_cache(self) -> Path:
        return self.folder / "cache" / "artifacts"

    @property
    def needs_key(self) -> bool:
        return self.require_key or self.host not in LOOPBACK
