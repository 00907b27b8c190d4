"""Which device is chosen, from what the driver's tool says; and what is said when it cannot be."""

from __future__ import annotations

import pytest

from forge_trainer_cuda import hardware
from forge_trainer_cuda.hardware import (
    CardTooNew,
    CardTooOld,
    Device,
    DriverTooOld,
    NoCudaDevice,
    Smi,
    TorchWithoutCuda,
    check_torch,
    choose,
    parse_card,
    read_card,
    used_bytes,
)

MIB = 2**20
H200 = "NVIDIA H200, 143771, 4, 570.133.20, 9.0"
LAPTOP = "NVIDIA GeForce RTX 4070 Laptop GPU, 8188, 512, 580.95.05, 8.9"


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a program of that name on PATH that prints what it is told."""

    def install(output: str, status: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        (tmp_path / "said").write_text(output)
        program.write_text(f'#!/bin/sh\nread -r line < "{tmp_path}/said"\necho "$line"\nexit {status}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


@pytest.fixture
def built_for(monkeypatch):
    """Let the installed torch be a build for that CUDA."""
    return lambda cuda: monkeypatch.setattr(hardware, "torch_cuda", lambda: cuda)


def card(driver="580.95.05", capability=(8, 9)) -> Device:
    return Device("cuda", "NVIDIA card", 8 << 30, driver, capability)


def test_a_card_is_read_from_the_drivers_answer_and_of_several_the_first():
    assert parse_card(f"{H200}\n{LAPTOP}\n") == Smi(
        "NVIDIA H200", 143771 * MIB, 4 * MIB, "570.133.20", (9, 0)
    )


@pytest.mark.parametrize(
    ("text", "used", "driver", "capability"),
    [
        ("Tesla T4, 15360, 3, 535.183.01, 7.5", 3 * MIB, "535.183.01", (7, 5)),
        # Old tools know no compute capability; cards that are split hide what they use.
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb, 20096, [N/A], 550.54, [N/A]", None, "550.54", None),
        ("Graphics Device, rev a1, 24564, [Not Supported], [Unknown Error], 8.6", None, None, (8, 6)),
    ],
)
def test_what_the_driver_does_not_say_is_unknown_and_not_zero(text, used, driver, capability):
    found = parse_card(text)

    assert (found.used, found.driver, found.capability) == (used, driver, capability)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "Failed to initialize NVML: Driver/library version mismatch",
        'Field "compute_cap" is not a valid field to query.',
    ],
)
def test_what_is_no_card_is_read_as_none(text):
    assert parse_card(text) is None


def test_auto_takes_the_card_that_is_there(nvidia_smi, built_for):
    nvidia_smi(LAPTOP)
    built_for("12.8")

    assert choose("auto") == Device(
        "cuda", "NVIDIA GeForce RTX 4070 Laptop GPU", 8188 * MIB, "580.95.05", (8, 9)
    )
    assert choose("cpu").kind == "cpu"


def test_auto_trains_on_the_cpu_when_the_installed_torch_cannot_use_the_card(nvidia_smi, built_for):
    nvidia_smi(LAPTOP)
    built_for(None)

    assert choose("auto").kind == "cpu"
    with pytest.raises(TorchWithoutCuda, match="CPU build"):
        choose("cuda")


def test_a_driver_that_fails_is_no_card(nvidia_smi):
    nvidia_smi("", status=9)

    assert choose("auto").kind == "cpu"


def test_cuda_without_the_drivers_tool_says_to_install_the_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoCudaDevice, match="install NVIDIA's driver") as caught:
        choose("cuda")

    assert "FORGE_TRAINER_CUDA_DEVICE=cpu" in str(caught.value.fix)


def test_cuda_with_a_broken_driver_passes_on_what_it_says(nvidia_smi):
    nvidia_smi("Failed to initialize NVML: Driver/library version mismatch", status=18)

    with pytest.raises(NoCudaDevice, match="Driver/library version mismatch"):
        choose("cuda")


def test_a_driver_older_than_torchs_cuda_is_refused_with_the_version_to_install():
    with pytest.raises(DriverTooOld, match=r"535\.183.*CUDA 13\.0 needs 580"):
        check_torch(card(driver="535.183.01"), "13.0")

    check_torch(card(driver="535.183.01"), "12.8")
    check_torch(card(driver="580.65.06"), "13.0")


def test_a_card_that_torch_has_no_kernels_for_is_refused_with_a_build_that_has_them():
    with pytest.raises(CardTooOld, match=r"capability 6\.1.*needs 7\.5") as caught:
        check_torch(card(capability=(6, 1)), "13.0")

    assert "FORGE_TORCH=cu126" in str(caught.value.fix)
    check_torch(card(capability=(6, 1)), "12.6")
    check_torch(card(capability=(10, 0)), "13.0")
    with pytest.raises(CardTooOld, match=r"capability 7\.0.*needs 7\.5"):
        check_torch(card(capability=(7, 0)), "12.8")


def test_a_card_newer_than_every_kernel_is_refused_with_a_build_that_knows_it():
    with pytest.raises(CardTooNew, match=r"capability 12\.0.*CUDA 12\.6 ends at 9\.0") as caught:
        check_torch(card(capability=(12, 0)), "12.6")

    assert "FORGE_TORCH=cu130" in str(caught.value.fix)
    check_torch(card(capability=(8, 9)), "12.6")
    check_torch(card(capability=(12, 1)), "13.2")


def test_what_is_not_known_of_a_card_is_not_held_against_it():
    check_torch(card(driver=None, capability=None), "13.0")


def test_the_cuda_of_the_installed_torch_is_read_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))

    for line, cuda in (
        ("cuda: Optional[str] = '13.0'", "13.0"),
        ("cuda = '12.6'", "12.6"),
        ("cuda = None", None),
    ):
        (package / "version.py").write_text(f"from typing import Optional\n{line}\nhip = '6.0'\n")
        assert hardware.torch_cuda() == cuda


def test_memory_in_use_is_the_cards_where_there_is_one_and_the_machines_where_not(nvidia_smi):
    nvidia_smi(LAPTOP)

    assert used_bytes(card()) == 512 * MIB
    assert 0 < used_bytes(Device("cpu", "x", 1)) < 2**50


def test_a_card_that_is_lost_while_the_worker_runs_has_no_known_memory(nvidia_smi):
    nvidia_smi("GPU is lost. Reboot the system to recover this GPU", status=15)

    assert used_bytes(card()) is None
    assert "GPU is lost" in str(read_card())
