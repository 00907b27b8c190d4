"""What the registry can be told; every time is in seconds."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from forge_common.settings import CommonSettings


class Settings(CommonSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_REGISTRY_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = 18795
    # Where artifacts lie; default `$FORGE_HOME/artifacts`.
    artifacts: Path | None = None
    # A worker that is silent for this long may lose its stage.
    lease_s: float = Field(default=30.0, gt=0)
    attempts: int = Field(default=3, ge=1)
    # Pause before a stage that failed is tried again; the next one is three times as long.
    retry_pause_s: float = Field(default=5.0, ge=0)
    # How long a deployment waits for an engine that is being restarted.
    engine_patience_s: float = Field(default=120.0, ge=0)
    # A doorbell that nobody followed is rung again after this long, then after twice as long, and so on.
    ring_again_s: float = Field(default=15.0, gt=0)
    ring_again_max_s: float = Field(default=600.0, gt=0)
    sweep_every_s: float = Field(default=5.0, gt=0)
    # How often workers say hello; one is taken for dead after three hellos missed.
    hello_s: float = Field(default=5.0, gt=0)
    # Days after which a worker that says nothing any more is no longer listed.
    worker_keep_days: float = Field(default=7.0, gt=0)
    # The broker as workers reach it that come over https; without one they get `broker_url`.
    tls_broker_url: str | None = None
    # The private CA that signed the certificates of this installation, in PEM: handed to whoever asks.
    tls_ca: Path | None = None
    # The longest silence of an engine that is only asked a known prompt; it may have to load the model first.
    preflight_timeout_s: float = Field(default=60.0, gt=0)
    # How long a promotion waits for an engine that is away before its run fails.
    preflight_patience_s: float = Field(default=300.0, ge=0)
    # Share of parity probes that the engine must answer with the trained weights' text. Not all: the engine may run on
    # other hardware than the export was verified on, and 8-bit weights tip near-ties (half of 48-token answers are
    # what an export may differ in); a wrong adapter, template or stop token leaves next to none.
    parity_share: float = Field(default=0.5, ge=0, le=1)
    # How often an idle event stream shows that it is alive.
    ping_s: float = Field(default=15.0, gt=0)

    @property
    def artifact_root(self) -> Path:
        return (self.artifacts or self.folder / "artifacts").expanduser()

    @property
    def worker_ttl_s(self) -> float:
        return 3 * self.hello_s + 1
