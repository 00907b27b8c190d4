"""Which device is chosen."""

from __future__ import annotations

import pytest

from forge_trainer_cuda.hardware import Device, NoCudaDevice, choose, parse_card


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a program of that name on PATH that prints what it is told."""

    def install(output: str, status: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '%s' '{output}'\nexit {status}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


def test_a_card_is_read_from_the_drivers_answer():
    assert parse_card("NVIDIA H200, 143771\nNVIDIA H200, 143771\n") == Device(
        "cuda", "NVIDIA H200", 143771 * 2**20
    )
    assert parse_card("NVIDIA-SMI has failed\n") is None
    assert parse_card("") is None


def test_auto_takes_the_card_that_is_there(nvidia_smi):
    nvidia_smi("NVIDIA RTX 4090, 24564")

    assert choose("auto").kind == "cuda"
    assert choose("cpu").kind == "cpu"


def test_a_driver_that_fails_is_no_card(nvidia_smi):
    nvidia_smi("", status=9)

    assert choose("auto").kind == "cpu"


def test_cuda_without_a_card_is_an_error_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoCudaDevice) as caught:
        choose("cuda")

    assert "FORGE_TRAINER_CUDA_DEVICE=cpu" in str(caught.value.fix)
