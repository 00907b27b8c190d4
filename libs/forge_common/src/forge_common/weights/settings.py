"""What the trainers' settings have in common; each adds its prefix, its name and what only its framework needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from forge_common.settings import CommonSettings


class TrainerSettings(CommonSettings):
    place: ClassVar[str]
    """The folder in `home`."""

    # How the registry and the console call this worker.
    name: str
    # CPU threads of the child; by default OMP_NUM_THREADS, else all cores.
    threads: int | None = Field(default=None, ge=1)
    # A batch is worked on in parts of at most so many tokens, padding included: lower it when memory runs out.
    max_tokens_at_once: int = Field(default=8192, ge=32)
    # Days after which what a run left behind for its own resumption is removed.
    keep_days: float = Field(default=7.0, gt=0)

    @property
    def workdir(self) -> Path:
        """Bases, downloaded artifacts and one folder per run."""
        return self.folder / self.place

    @property
    def cores(self) -> int:
        return self.threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
