"""Where a training stands, its best adapter included: written aside and renamed, so that a killed one goes on from a whole checkpoint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from forge_common.weights.training import Standing
from forge_trainer_cuda.model import restore

BEST = "best"
"""The folder in a checkpoint that holds the adapter of the best evaluation, in PEFT's layout."""


def save(
    folder: Path,
    standing: Standing,
    model: PeftModel,
    optimizer: torch.optim.Optimizer,
    write_adapter: Callable[[Path], None],
) -> None:
    """Replace the checkpoint in `folder`; a kill at any instant leaves the old one or the new one.

    `write_adapter` writes the weights into a folder, where they are the best ones; else the old checkpoint's are kept.
    """
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    lora = {name: tensor.contiguous() for name, tensor in get_peft_model_state_dict(model).items()}
    save_file(lora, aside / "lora.safetensors")
    save_file(_flat(optimizer), aside / "optimizer.safetensors")
    (aside / "standing.json").write_text(standing.model_dump_json(), encoding="utf-8")
    if standing.best_step == standing.step:
        write_adapter(aside / BEST)
    else:
        shutil.copytree(folder / BEST, aside / BEST)
    for path in aside.rglob("*"):
        _flush(path)
    _swap(aside, folder)


def _flush(path: Path) -> None:
    """So that a power cut does not leave an empty file under a checkpoint's name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(aside: Path, folder: Path) -> None:
    """Put `aside` in the place of `folder`; killed in between, `_mend` brings the old one back."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _mend(folder: Path) -> None:
    """Finish a swap that was killed between its two renames."""
    old = folder.with_name(f"{folder.name}.old")
    if not folder.exists() and old.exists():
        old.rename(folder)


def load(folder: Path, job: str) -> Standing | None:
    """The last whole checkpoint's standing; None when there is none for `job`."""
    _mend(folder)
    path = folder / "standing.json"
    if not path.is_file():
        return None
    standing = Standing.model_validate_json(path.read_bytes())
    return standing if standing.job == job else None


def load_into(folder: Path, model: PeftModel, optimizer: torch.optim.Optimizer) -> None:
    """Put the checkpoint's weights, optimizer state and random state in place."""
    restore(model, load_file(folder / "lora.safetensors"))
    flat = load_file(folder / "optimizer.safetensors")
    torch.set_rng_state(flat.pop("random"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in flat.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    tensors = {f"{index}.{key}": value for index, kept in state.items() for key, value in kept.items()}
    return {**{name: value.contiguous() for name, value in tensors.items()}, "random": torch.get_rng_state()}
