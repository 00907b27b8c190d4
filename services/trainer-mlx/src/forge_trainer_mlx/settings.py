"""Settings of trainer-mlx: the shared ones, and `FORGE_TRAINER_MLX_…`. Metal does not use `threads`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from forge_common.weights.settings import TrainerSettings


class Settings(TrainerSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_TRAINER_MLX_", extra="ignore", populate_by_name=True)
    place: ClassVar[str] = "trainer-mlx"

    name: str = Field(default_factory=lambda: f"trainer-mlx-{socket.gethostname().split('.')[0]}")
    # A fast BLAS for mlx's CPU build on Linux; found by itself where the system has OpenBLAS.
    openblas: Path | None = None
    # Share of Metal's working set that training may take; macOS and its user need the rest.
    memory_share: float = Field(default=0.9, gt=0, le=1)
