"""Where a training stands, in one file: written aside and renamed, so that a killed training goes on from a whole checkpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from forge_common.weights.training import Standing

Weights = dict[str, mx.array]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`weights` are the newest, `best` those of the best evaluation; `optimizer` is mlx's own tree."""

    standing: Standing
    weights: Weights
    best: Weights
    optimizer: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint, mlx's random state included; a kill at any instant leaves the old one or the new one."""
    tensors = {
        **{f"weights/{name}": tensor for name, tensor in checkpoint.weights.items()},
        **{f"best/{name}": tensor for name, tensor in checkpoint.best.items()},
        **{f"optimizer/{name}": tensor for name, tensor in tree_flatten(checkpoint.optimizer)},
        "random": cast("mx.array", mx.random.state[0]),  # type: ignore[index]
    }
    aside = path.with_name("aside.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(aside), tensors, {"standing": checkpoint.standing.model_dump_json()})
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


def load(path: Path, job: str) -> Checkpoint | None:
    """The last whole checkpoint, with mlx's random state put back; None when there is none for `job`."""
    if not path.is_file():
        return None
    loaded = mx.load(str(path), return_metadata=True)
    tensors, facts = cast("tuple[Weights, dict[str, str]]", loaded)
    standing = Standing.model_validate_json(facts["standing"])
    if standing.job != job:
        return None
    # mlx's state cannot be assigned, but the seed is the key: its upper and lower 32 bits.
    upper, lower = (int(word) for word in np.array(tensors["random"]))
    mx.random.seed(upper << 32 | lower)
    optimizer = tree_unflatten(list(_under("optimizer/", tensors).items()))
    return Checkpoint(standing, _under("weights/", tensors), _under("best/", tensors), optimizer)


def _under(prefix: str, tensors: Weights) -> Weights:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
