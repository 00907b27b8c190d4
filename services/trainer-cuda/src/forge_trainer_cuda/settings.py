"""Settings of trainer-cuda: the shared ones, and `FORGE_TRAINER_CUDA_…`."""

from __future__ import annotations

import socket
from typing import ClassVar, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from forge_common.weights.settings import TrainerSettings


class Settings(TrainerSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_TRAINER_CUDA_", extra="ignore", populate_by_name=True)
    place: ClassVar[str] = "trainer"

    name: str = Field(default_factory=lambda: f"trainer-cuda-{socket.gethostname().split('.')[0]}")
    # `auto` takes a card when there is one, else the CPU.
    device: Literal["auto", "cuda", "cpu"] = "auto"
    # How many cards of this machine train together, each with the whole base, or with a share of one that none holds.
    cards: int = Field(default=1, ge=1)
    # Compile the decoder's blocks. Not with qlora; off until a card has shown that it pays.
    compiled: bool = False

    def child_environment(self) -> dict[str, str]:
        return {
            "OMP_NUM_THREADS": str(self.cores),
            "MKL_NUM_THREADS": str(self.cores),
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
