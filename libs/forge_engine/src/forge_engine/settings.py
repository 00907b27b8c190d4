"""The engine's settings. Everything has a default that works on one machine."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ByteSize, Field
from pydantic_settings import SettingsConfigDict

from forge_common.settings import CommonSettings, shared


def usable_cores() -> int:
    """Cores this process may use; a container or taskset may allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_memory_bytes() -> int:
    """The machine's memory, or the container's limit where that is smaller."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


class Settings(CommonSettings):
    """`FORGE_ENGINE_*`. Sizes are bytes (`8GiB` works too), times seconds."""

    model_config = SettingsConfigDict(env_prefix="FORGE_ENGINE_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = 11434
    # Ollama's API knows no keys: other than loopback only where something else keeps strangers out (a container's network).
    open_to_network: bool = False
    store: Path | None = Field(default=None, validation_alias=shared("FORGE_ENGINE_HOME"))
    # What the loaded models together may take by estimate; weights that two models share count once.
    memory_bytes: ByteSize = Field(default_factory=lambda: ByteSize(physical_memory_bytes() // 2))
    threads: int = Field(default_factory=usable_cores, ge=1)
    # Requests that one model answers at once; each has the model's full context.
    slots: int = Field(default=4, ge=1, le=64)
    # Context of a model that sets no num_ctx; never more than the model was made for.
    context: int = Field(default=4096, ge=64)
    keep_alive_s: float = 300.0
    load_timeout_s: float = 600.0
    # Layers put on a GPU where llama.cpp was built with one (Metal on a Mac): -1 is all, 0 none.
    gpu_layers: int = -1

    @property
    def store_folder(self) -> Path:
        return self.store.expanduser() if self.store else self.home.expanduser() / "engine"
