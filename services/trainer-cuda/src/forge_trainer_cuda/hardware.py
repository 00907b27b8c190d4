"""Which device this machine trains on, asked of the driver's own tool: the worker process never loads torch."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal

import psutil

from forge_common.errors import ForgeError


class NoCudaDevice(ForgeError):
    """A CUDA card was asked for and none answers."""


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` is torch's name, `label` is for people."""

    kind: Literal["cuda", "cpu"]
    label: str
    memory_bytes: int


def choose(wanted: Literal["auto", "cuda", "cpu"]) -> Device:
    """Raises NoCudaDevice."""
    card = None if wanted == "cpu" else _card()
    if card is not None:
        return card
    if wanted == "cuda":
        raise NoCudaDevice(
            "no CUDA card answers on this machine",
            fix="check nvidia-smi and the driver, or set FORGE_TRAINER_CUDA_DEVICE=cpu",
        )
    return Device("cpu", platform.processor() or platform.machine(), psutil.virtual_memory().total)


def _card() -> Device | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        reply = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_card(reply.stdout)


def parse_card(text: str) -> Device | None:
    """The first line of nvidia-smi's answer, `NAME, MiB`."""
    name, _, mebibytes = text.strip().partition("\n")[0].rpartition(", ")
    return Device("cuda", name, int(mebibytes) * 2**20) if mebibytes.isdigit() else None
