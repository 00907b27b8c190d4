"""The card's benchmark runs from beginning to end, here with a tiny model on the CPU; TRL's environment is not made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu" / "gpu_bench.py"


def test_every_case_of_ours_is_measured():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--tiny", "--no-peer"], capture_output=True, text=True, check=False
    )

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "trainer-cuda, LoRA bf16: ",
        "trainer-cuda, QLoRA NF4: ",
        "LoRA bf16, blocks compiled: ",
        "8 GB profile, QLoRA",
    ):
        speed = next(line for line in lines if line.startswith(name)).split(": ")[1]
        assert float(speed.removesuffix(" tokens/s")) > 0
    assert any(line.startswith("floors: 8000 tokens/s on an H200") for line in lines)
