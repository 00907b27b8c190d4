"""Settings of trainer-mlx: the shared ones, and `FORGE_TRAINER_MLX_…`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from forge_common.settings import CommonSettings


class Settings(CommonSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_TRAINER_MLX_", extra="ignore", populate_by_name=True)

    # How the registry and the console call this worker.
    name: str = Field(default_factory=lambda: f"trainer-mlx-{socket.gethostname().split('.')[0]}")
    # CPU threads of the child; by default OMP_NUM_THREADS, else all cores. Metal does not use them.
    threads: int | None = Field(default=None, ge=1)
    # A fast BLAS for mlx's CPU build on Linux; found by itself where the system has OpenBLAS.
    openblas: Path | None = None
    # A batch is worked on in parts of at most so many tokens, padding included: lower it when memory runs out.
    max_tokens_at_once: int = Field(default=8192, ge=32)
    # Share of Metal's working set that training may take; macOS and its user need the rest.
    memory_share: float = Field(default=0.9, gt=0, le=1)
    # Days after which what a run left behind for its own resumption is removed.
    keep_days: float = Field(default=7.0, gt=0)

    @property
    def workdir(self) -> Path:
        """Bases, downloaded artifacts and one folder per run."""
        return self.folder / "trainer-mlx"

    @property
    def cores(self) -> int:
        return self.threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
