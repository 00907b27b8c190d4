"""The peer's own environment: TRL is no dependency of ours. Made on first use, with our versions of what both use."""

# ruff: noqa: T201  a benchmark says what it does
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

TRL = "trl==1.16.*"
SHARED = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")


def peer_python() -> Path | None:
    """The interpreter of the peer's environment; None where it cannot be made, which is said."""
    folder = _cache() / f"trl-1.16-torch-{version('torch')}-transformers-{version('transformers')}"
    python = folder / "bin" / "python"
    if (folder / "made").exists():
        return python
    print(f"making an environment for TRL in {folder} ...", flush=True)
    try:
        _make(folder, python)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"left out: TRL + PEFT, its environment could not be made ({error})")
        return None
    (folder / "made").touch()
    return python


def _make(folder: Path, python: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
    pins = [f"{name}=={version(name)}" for name in SHARED if name != "torch"]
    # The build that we run on: without the workspace's configuration, which keeps torch out of every resolution.
    torch, _, build = version("torch").partition("+")
    links = {"UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or _pip_links().replace(" ", ",")}
    install = [uv, "pip", "install", "-q", "--no-config", "-p", str(python)]
    backend = [] if links["UV_FIND_LINKS"] or not build else ["--torch-backend", build]
    subprocess.run([*install, *backend, f"torch=={torch}", *pins, TRL], check=True, env=os.environ | links)


def _pip_links() -> str:
    """What pip was told about local wheels holds for uv too."""
    if links := os.environ.get("PIP_FIND_LINKS"):
        return links
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip()


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "forge-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
