"""LoRA and DoRA adapters in PEFT's layout, and merging them into the weights that they were trained on.

Never into quantised ones.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from forge_common.contracts.domain import TrainingRules
from forge_common.errors import Invalid
from forge_common.weights.checkpoint import Checkpoint, model_config, with_rope_theta, write_safetensors
from forge_common.weights.tokenizer import ModelFolderBroken, read_json

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
_PREFIX = "base_model.model."
_SUFFIXES = {"a": ".lora_A.weight", "b": ".lora_B.weight", "magnitude": ".lora_magnitude_vector"}
# A config that asks for one of these trains something that B·A and a magnitude do not say.
_MORE_THAN_LORA = ("use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")


class AdapterInvalid(Invalid):
    """The folder is no LoRA adapter in PEFT's layout, or not one for this base."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's update is `scale · b @ a`: `a` (rank, in), `b` (out, rank).

    With a `magnitude` (out,), DoRA's, each row of the updated weights is scaled to that length.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    magnitude: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """`pairs` by the base's tensor name, e.g. `model.layers.0.self_attn.q_proj.weight`."""

    pairs: Mapping[str, Pair]
    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @property
    def is_dora(self) -> bool:
        return any(pair.magnitude is not None for pair in self.pairs.values())


def trained_layers(rules: TrainingRules, layers: int) -> list[int] | None:
    """The last `num_layers` blocks; None means all."""
    if rules.num_layers is None or rules.num_layers >= layers:
        return None
    return list(range(layers - rules.num_layers, layers))


def read_adapter(folder: Path) -> Adapter:
    """Raises AdapterInvalid."""
    try:
        config = read_json(folder / CONFIG_FILE)
        tensors = Checkpoint(folder)
    except ModelFolderBroken as error:
        raise AdapterInvalid(f"{folder.name} is no adapter: {error.message}") from error
    refused = [key for key in _MORE_THAN_LORA if config.get(key)]
    if refused:
        raise AdapterInvalid(f"the adapter uses {', '.join(refused)}", fix="train a plain LoRA")
    parts: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name in tensors.names():
        module, part = _split(name)
        parts.setdefault(module, {})[part] = tensors.tensor(name)
    is_dora = bool(config.get("use_dora"))
    pairs = {
        f"{module}.weight": _pair(module, found, is_dora=is_dora) for module, found in sorted(parts.items())
    }
    ranks = {pair.a.shape[0] for pair in pairs.values()}
    if ranks != {config.get("r")}:
        raise AdapterInvalid(f"the tensors have ranks {sorted(ranks)}, the config says {config.get('r')}")
    return Adapter(pairs=pairs, rank=int(config["r"]), alpha=float(config["lora_alpha"]))


def check_parent(parent: Adapter, fresh: Adapter) -> None:
    """Whether training can go on from `parent` in the place of `fresh`, unchanged. Raises AdapterInvalid."""
    how = "as that version was trained, or training.start_from to base"
    if _shapes(parent) != _shapes(fresh):
        raise AdapterInvalid(
            f"the adapter to go on from has another rank, other targets or another method than rank {fresh.rank} here",
            fix=f"set method, rank, targets and num_layers {how}",
        )
    if parent.scale != fresh.scale:
        raise AdapterInvalid(
            f"the adapter to go on from was trained with alpha {parent.alpha:g}: with {fresh.alpha:g} all that it "
            f"learned would count {fresh.scale / parent.scale:g} times",
            fix=f"set training.alpha to {parent.alpha:g} {how}",
        )


def _shapes(adapter: Adapter) -> dict[str, list[tuple[int, ...]]]:
    return {
        name: [half.shape for half in (pair.a, pair.b, pair.magnitude) if half is not None]
        for name, pair in adapter.pairs.items()
    }


def write_adapter_folder(
    folder: Path, adapter: Adapter, *, base_name: str, layers: Sequence[int] | None = None
) -> None:
    """Write `adapter` as PEFT does; `layers` names the transformer blocks it touches, None means all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{_PREFIX}{name.removesuffix('.weight')}{suffix}": np.ascontiguousarray(numbers, dtype=np.float32)
        for name, pair in adapter.pairs.items()
        for part, suffix in _SUFFIXES.items()
        if (numbers := getattr(pair, part)) is not None
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted({name.split(".")[-2] for name in adapter.pairs}),
        "layers_to_transform": None if layers is None else list(layers),
    }
    if adapter.is_dora:
        config["use_dora"] = True
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


class Merged:
    """The base's tensors with the adapter's update added, computed in f32 as they are read."""

    def __init__(self, base: Checkpoint, adapter: Adapter) -> None:
        for name, pair in adapter.pairs.items():
            if name not in base.stored:
                raise AdapterInvalid(f"the adapter changes {name}, which the base model does not have")
            update = (pair.b.shape[0], pair.a.shape[1])
            if update != base.shape(name):
                raise AdapterInvalid(
                    f"the adapter's {name} is {update[0]}x{update[1]}, the base model's "
                    + "x".join(map(str, base.shape(name))),
                    fix="use the base model that the adapter was trained on",
                )
        self._base = base
        self._adapter = adapter

    def names(self) -> list[str]:
        return self._base.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._base.shape(name)

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        rows = self._base.rows(name, start, stop)
        pair = self._adapter.pairs.get(name)
        if pair is None:
            return rows
        updated = rows + np.float32(self._adapter.scale) * (pair.b[start:stop] @ pair.a)
        if pair.magnitude is None:
            return updated
        lengths = np.linalg.norm(updated, axis=1)
        scaled: NDArray[np.float32] = updated * (pair.magnitude[start:stop] / lengths)[:, None]
        return scaled


def merge(base_dir: Path, adapter_dir: Path, out_dir: Path) -> None:
    """Write the base with the adapter merged in as a model folder of its own.

    Numbers are added in f32; f32 tensors stay f32, 16-bit ones become f16 (bfloat16 would round most of the update
    away). Raises AdapterInvalid, UnsupportedWeights.
    """
    base = Checkpoint(base_dir)
    merged = Merged(base, read_adapter(adapter_dir))
    out_dir.mkdir(parents=True, exist_ok=True)
    for path in base_dir.iterdir():
        if path.is_file() and path.suffix in {".json", ".jinja", ".txt", ".model"}:
            shutil.copyfile(path, out_dir / path.name)
    (out_dir / "model.safetensors.index.json").unlink(missing_ok=True)
    dtypes = {
        name: "F32" if stored.dtype in ("F32", "F64") else "F16" for name, stored in base.stored.items()
    }
    write_safetensors(out_dir / "model.safetensors", merged, dtypes)
    kind = "float16" if "F16" in dtypes.values() else "float32"
    config = with_rope_theta(model_config(base_dir)) | {"dtype": kind, "torch_dtype": kind}
    (out_dir / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _split(name: str) -> tuple[str, str]:
    for part, suffix in _SUFFIXES.items():
        if name.startswith(_PREFIX) and name.endswith(suffix):
            return name.removeprefix(_PREFIX).removesuffix(suffix), part
    raise AdapterInvalid(f"the adapter holds {name}, which is no half of a LoRA pair")


def _pair(module: str, parts: Mapping[str, NDArray[np.float32]], *, is_dora: bool) -> Pair:
    if not {"a", "b"} <= set(parts):
        raise AdapterInvalid(f"the adapter has only half of {module}")
    pair = Pair(**parts)
    if (pair.magnitude is not None) != is_dora:
        has = "no magnitude" if is_dora else "a magnitude"
        raise AdapterInvalid(f"{module} has {has}, but use_dora is {str(is_dora).lower()} in the config")
    if pair.magnitude is not None and pair.magnitude.shape != (pair.b.shape[0],):
        raise AdapterInvalid(
            f"{module}'s magnitude has {pair.magnitude.shape} numbers, not {pair.b.shape[0]}"
        )
    return pair
