"""The environment of the child process. On Linux mlx's CPU build needs help: a fast BLAS, and no C++ compiler at run time."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from ctypes.util import find_library
from pathlib import Path

from forge_trainer_mlx.settings import Settings

# Where the cmeel-openblas wheel puts it. The OpenBLAS inside numpy's wheel has renamed symbols: of no use to mlx.
_WHEEL = Path("cmeel.prefix/lib/libopenblas.so.0")


def child_environment(
    settings: Settings, inherited: Mapping[str, str], *, platform: str = sys.platform
) -> dict[str, str]:
    """What the child's environment has besides ours."""
    # The child gets local folders; it has no business on the network.
    everywhere = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    return everywhere | (_linux(settings, inherited) if platform == "linux" else {})


def find_openblas(site_packages: Path | None = None) -> str | None:
    """OpenBLAS as the dynamic linker takes it: a name that it knows, or a path. None where there is none."""
    wheel = (site_packages or Path(sysconfig.get_paths()["purelib"])) / _WHEEL
    return find_library("openblas") or (str(wheel) if wheel.is_file() else None)


def _linux(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    found = {
        # mlx compiles C++ for every new shape of a batch: minutes, where training takes seconds.
        "MLX_DISABLE_COMPILE": "1",
        "OPENBLAS_NUM_THREADS": str(settings.cores),
        "OMP_NUM_THREADS": str(settings.cores),
    }
    blas = str(settings.openblas) if settings.openblas else find_openblas()
    if blas:
        before = inherited.get("LD_PRELOAD", "")
        found["LD_PRELOAD"] = f"{blas}:{before}" if before else blas
    return found
