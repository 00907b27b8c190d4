"""Which device this machine trains on, asked of the driver's own tool: the worker process never loads torch."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

import psutil

from forge_common.errors import ForgeError
from forge_common.logging import get_logger

log = get_logger()

QUERY = ("name", "memory.total", "memory.used", "driver_version", "compute_cap")
# The oldest driver that runs a program built for a major version of CUDA, whatever its minor version:
# docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html, table 1.
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
# The oldest and the newest card (None: those to come as well) that torch's wheels have kernels for, by the CUDA they are
# built with: github.com/pytorch/pytorch RELEASE.md, "PyTorch CUDA Support Matrix", as of 2.12 (pull request 182849); 12.8,
# which 2.12 no longer has, as of 2.11 (pull request 175253). 2.14 is the last release with 12.6 (issue 190385).
KERNELS: dict[str, tuple[tuple[int, int], tuple[int, int] | None]] = {
    "12.6": ((5, 0), (9, 0)),
    "12.8": ((7, 5), None),
    "13.0": ((7, 5), None),
    "13.2": ((7, 5), None),
}


class NoCudaDevice(ForgeError):
    """A CUDA card was asked for and none answers."""


class DriverTooOld(ForgeError):
    """The card is there, but its driver cannot run the torch that is installed."""


class CardTooOld(ForgeError):
    """The torch that is installed has no kernels for this card."""


class CardTooNew(ForgeError):
    """The torch that is installed was built before this card."""


class TorchWithoutCuda(ForgeError):
    """The torch that is installed was built for the CPU alone."""


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` is torch's name, `label` is for people. What the driver did not say is None."""

    kind: Literal["cuda", "cpu"]
    label: str
    memory_bytes: int
    driver: str | None = None
    capability: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Smi:
    """What nvidia-smi says of one card; sizes in bytes."""

    name: str
    total: int
    used: int | None
    driver: str | None
    capability: tuple[int, int] | None


def choose(wanted: Literal["auto", "cuda", "cpu"]) -> Device:
    """Raises NoCudaDevice, and DriverTooOld, CardTooOld, CardTooNew, TorchWithoutCuda for a card that was asked for."""
    found = None if wanted == "cpu" else read_card()
    if isinstance(found, Smi):
        device = Device("cuda", found.name, found.total, found.driver, found.capability)
        try:
            check_torch(device, torch_cuda())
        except ForgeError as error:
            if wanted == "cuda":
                raise
            log.warning("card.unused", card=device.label, reason=str(error))
        else:
            return device
    elif wanted == "cuda":
        raise NoCudaDevice(
            f"no CUDA card answers on this machine: {found}",
            fix="mend that, then try again; to train on the CPU: forge worker cpu "
            "(FORGE_TRAINER_CUDA_DEVICE=cpu)",
        )
    return Device("cpu", platform.processor() or platform.machine(), psutil.virtual_memory().total)


def read_card() -> Smi | str:
    """The first card, or in words why there is none."""
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is not there; install NVIDIA's driver (ubuntu-drivers install, or your distribution's way)"
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        reply = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi does not answer ({type(error).__name__}); restart the machine"
    card = parse_card(reply.stdout)
    if reply.returncode == 0 and card is not None:
        return card
    said = " ".join((reply.stdout + " " + reply.stderr).split())[:300]
    return f"nvidia-smi says: {said or f'nothing (status {reply.returncode})'}"


def parse_card(text: str) -> Smi | None:
    """The first line of nvidia-smi's answer to QUERY; a name may hold commas, a field may be `[N/A]`."""
    fields = [field.strip() for field in text.strip().partition("\n")[0].rsplit(",", len(QUERY) - 1)]
    if len(fields) != len(QUERY) or not fields[1].isdigit():
        return None
    name, total, used, driver, capability = fields
    return Smi(
        name=name,
        total=int(total) << 20,
        used=int(used) << 20 if used.isdigit() else None,
        driver=driver if driver[:1].isdigit() else None,
        capability=_pair(capability),
    )


def torch_cuda() -> str | None:
    """The CUDA version that the installed torch was built with, read from its file: importing it takes seconds and memory."""
    spec = PathFinder.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    found = re.search(r"^cuda(?:\s*:[^=]*)?\s*=\s*'([\d.]+)'", text, re.MULTILINE)
    return found.group(1) if found else None


def check_torch(device: Device, cuda: str | None) -> None:
    """Raises TorchWithoutCuda, DriverTooOld, CardTooOld, CardTooNew. What is not known is not held against anybody."""
    if cuda is None:
        raise TorchWithoutCuda(
            "there is a card, but the installed torch is the CPU build",
            fix="remove .venv/.forge-setup; deploy/worker.sh cuda then puts the right one there",
        )
    major = int(cuda.partition(".")[0])
    oldest = OLDEST_DRIVER.get(major)
    if device.driver and oldest and int(device.driver.partition(".")[0]) < oldest:
        raise DriverTooOld(
            f"the driver is {device.driver}; torch built for CUDA {cuda} needs {oldest} or newer",
            fix=f"install NVIDIA's driver {oldest} or newer"
            + (
                "; FORGE_TORCH=cu126 deploy/worker.sh cuda takes a build that runs from 525 on"
                if oldest > OLDEST_DRIVER[12]
                else ""
            ),
        )
    oldest_card, newest_card = KERNELS.get(cuda, (None, None))
    if device.capability and oldest_card and device.capability < oldest_card:
        raise CardTooOld(
            f"{device.label} has compute capability {_dotted(device.capability)}; "
            f"torch built for CUDA {cuda} needs {_dotted(oldest_card)}",
            fix="FORGE_TORCH=cu126 deploy/worker.sh cuda takes a build that knows cards from 5.0 on",
        )
    # A card runs the kernels of its own generation, whatever their minor version.
    if device.capability and newest_card and device.capability[0] > newest_card[0]:
        raise CardTooNew(
            f"{device.label} has compute capability {_dotted(device.capability)}; "
            f"torch built for CUDA {cuda} ends at {_dotted(newest_card)}",
            fix="FORGE_TORCH=cu130 deploy/worker.sh cuda takes a build that knows it (driver 580 or newer)",
        )


def used_bytes(device: Device) -> int | None:
    """How much of the device's memory is in use, by whomever."""
    if device.kind == "cuda":
        found = read_card()
        return found.used if isinstance(found, Smi) else None
    memory = psutil.virtual_memory()
    return int(memory.total - memory.available)


def _pair(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(pair: tuple[int, int]) -> str:
    return f"{pair[0]}.{pair[1]}"
