"""Settings of the evaluator: the shared ones, and `FORGE_EVALUATOR_…`."""

from __future__ import annotations

import platform
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from forge_common.settings import CommonSettings
from forge_evaluator.sandbox import Limits


class Settings(CommonSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_EVALUATOR_", extra="ignore", populate_by_name=True)

    worker: str = Field(default_factory=lambda: f"{platform.node() or 'worker'}-evaluator")
    # Answers asked for at once; the engine queues what it cannot work on.
    concurrency: int = Field(default=4, ge=1, le=64)
    # Sandboxes that run code at the same time.
    sandboxes: int = Field(default=2, ge=1, le=64)
    # CPU seconds of one answer's code, all its cases together; the wall clock is only the backstop.
    cpu_s: int = Field(default=2, ge=1)
    wall_s: float = Field(default=20.0, gt=0)
    # A model on a slow machine may think for long; silence beyond this counts as an engine that is down.
    answer_timeout_s: float = Field(default=300.0, gt=0)

    # A judge for criteria that no typed check decides: an OpenAI-compatible base such as http://127.0.0.1:11434/v1.
    judge_url: str | None = None
    judge_model: str | None = None
    judge_key: SecretStr | None = None

    @property
    def work(self) -> Path:
        """Logs of evaluations, generations and downloaded benchmarks; safe to delete between runs."""
        return self.folder / "evaluator"

    @property
    def limits(self) -> Limits:
        return Limits(cpu_s=self.cpu_s, wall_s=self.wall_s)
