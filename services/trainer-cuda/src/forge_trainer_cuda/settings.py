"""Settings of trainer-cuda: the shared ones, and `FORGE_TRAINER_CUDA_…`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from forge_common.settings import CommonSettings


class Settings(CommonSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_TRAINER_CUDA_", extra="ignore", populate_by_name=True)

    # `auto` takes a card when there is one, else the CPU.
    device: Literal["auto", "cuda", "cpu"] = "auto"
    # How the registry and the console call this worker.
    name: str = Field(default_factory=lambda: f"trainer-cuda-{socket.gethostname().split('.')[0]}")
    # CPU threads of the child; by default OMP_NUM_THREADS, else all cores.
    threads: int | None = Field(default=None, ge=1)
    # A batch is worked on in parts of at most so many tokens, padding included: lower it when memory runs out.
    max_tokens_at_once: int = Field(default=8192, ge=32)
    # Days after which what a run left behind for its own resumption is removed.
    keep_days: float = Field(default=7.0, gt=0)

    @property
    def workdir(self) -> Path:
        """Bases, downloaded artifacts and one folder per run."""
        return self.folder / "trainer"

    def child_environment(self) -> dict[str, str]:
        threads = self.threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        return {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            # Waiting threads sleep: on a shared machine spinning ones made steps 3 to 15 times slower.
            "OMP_WAIT_POLICY": "PASSIVE",
            "GOMP_SPINCOUNT": "0",
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
            "TOKENIZERS_PARALLELISM": "false",
            # The child gets local folders; it has no business on the network.
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
