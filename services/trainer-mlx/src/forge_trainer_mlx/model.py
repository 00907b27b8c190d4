"""The base model in mlx, and LoRA on it. Nothing here trains; nothing here writes into a base."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model, quantize_model

from forge_common.contracts.domain import TrainingRules
from forge_common.logging import get_logger
from forge_common.weights.adapter import (
    Adapter,
    AdapterInvalid,
    Pair,
    check_parent,
    read_adapter,
    trained_layers,
    write_adapter_folder,
)
from forge_common.weights.architectures import architecture
from forge_common.weights.checkpoint import Checkpoint, model_config, rope_theta
from forge_common.weights.rows import TokenRow
from forge_common.weights.targets import targets_of
from forge_trainer_mlx.jobs import TrainJob

log = get_logger()

# mlx-lm's own 4-bit form; about NF4's size and loss.
QUANTISATION = {"group_size": 64, "bits": 4}
# 128 MiB of them in f32: 220 tokens of a vocabulary of 152,000.
LOGITS_AT_ONCE = 2**25


def prepare_device(memory_share: float) -> str:
    """Choose the device, keep it from taking the whole machine's memory, and say in words what it is."""
    limit = int(_memory_bytes() * memory_share)
    # Past this mlx waits for memory to come free instead of driving the whole machine into swap.
    mx.set_memory_limit(limit)
    if mx.metal.is_available():
        mx.set_wired_limit(limit)
    else:
        mx.set_default_device(mx.cpu)
        is_fast = _has_openblas()
        if not is_fast:
            log.warning(
                "blas.missing",
                detail="matrix products run about twenty times slower than with OpenBLAS",
                fix="install it (Debian, Ubuntu: apt install libopenblas0-pthread), or train with trainer-cuda",
            )
        return f"cpu ({mx.device_info().get('device_name', 'unknown')}{'' if is_fast else ', slow BLAS'})"
    return f"metal ({mx.device_info().get('device_name', 'Apple silicon')})"


def load_trainable(base: Path, rules: TrainingRules) -> nn.Module:
    """The frozen base with a fresh adapter whose initial weights `rules.seed` fixes; 4-bit for `qlora`."""
    model, config = load_model(base, lazy=True, model_config=rope_settings(model_config(base)))
    _widen(model, keep_bfloat16=mx.default_device() == mx.gpu)
    if rules.method == "qlora":
        model, _ = quantize_model(model, config, **QUANTISATION, quant_predicate=_is_in_block)
    model.freeze()
    layers = trained_layers(rules, len(model.layers))
    mx.random.seed(rules.seed)
    _adapt(
        model,
        targets_of(base, rules),
        len(layers or model.layers),
        rank=rules.rank,
        scale=rules.alpha / rules.rank,
        is_dora=rules.method == "dora",
    )
    mx.eval(model.parameters())
    return model


def go_on_from(model: nn.Module, folder: Path, rules: TrainingRules) -> None:
    """Put a trained adapter's weights in the place of the fresh ones. Raises AdapterInvalid when it is of another kind."""
    parent = read_adapter(folder)
    check_parent(parent, to_peft(trained_weights(model), rules))
    model.load_weights(list(_by_mlxs_name(parent).items()), strict=False)


def save_memory(model: nn.Module) -> None:
    """A Mac's memory is short before its time is: activations are recomputed, block by block."""
    # mlx-lm's function changes the class of all blocks, once and for good.
    block = type(model.layers[0])
    if mx.default_device() == mx.gpu and not getattr(block, "forge_recomputes", False):
        grad_checkpoint(model.layers[0])
        block.forge_recomputes = True


def load_for_reading(base: Path) -> nn.Module:
    """The base at full precision, for reference answers; at half of it where f32 does not fit."""
    model, _ = load_model(base, lazy=True, model_config=rope_settings(model_config(base)))
    _widen(model, keep_bfloat16=not _f32_fits(base))
    model.freeze()
    mx.eval(model.parameters())
    return model


def rope_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config's RoPE where mlx-lm reads it.

    transformers 5 writes only `rope_parameters`; mlx-lm would take its own default of 1e6 without a word.
    Raises ArchitectureUnknown for a model that could not be exported afterwards.
    """
    architecture(config)
    nested = config.get("rope_parameters") or {}
    settings: dict[str, Any] = {"rope_theta": rope_theta(config)}
    if nested.get("rope_type", "default") != "default":
        settings["rope_scaling"] = dict(nested)
    return settings


def log_probabilities(model: nn.Module, tokens: mx.array, places: mx.array, targets: mx.array) -> mx.array:
    """Of the `targets` (N,) that follow N `places` of `tokens` (B, T), counted row after row; in nats, f32.

    A piece at a time, made again in the backward pass: logits of all places would be the largest array by far.
    """
    hidden = model.model(tokens)
    chosen = hidden.reshape(-1, hidden.shape[-1])[places]
    is_tied = model.args.tie_word_embeddings
    head = model.model.embed_tokens.as_linear if is_tied else model.lm_head
    size = max(1, LOGITS_AT_ONCE // model.args.vocab_size)

    def piece(start: int) -> mx.array:
        def said(states: mx.array) -> mx.array:
            logits = head(states).astype(mx.float32)
            each: mx.array = -nn.losses.cross_entropy(logits, targets[start : start + size], reduction="none")
            return each

        found: mx.array = mx.checkpoint(said)(chosen[start : start + size])
        return found

    return mx.concatenate([piece(start) for start in range(0, places.shape[0], size)])


def load_adapter(model: nn.Module, adapter: Adapter) -> None:
    """Put a trained adapter on a bare base. Raises AdapterInvalid when it belongs to another one."""
    halves = _by_mlxs_name(adapter)
    blocks = {int(name.split(".")[2]) for name in adapter.pairs}
    targets = {name.split(".")[-2] for name in adapter.pairs}
    _adapt(
        model,
        targets,
        len(model.layers) - min(blocks),
        rank=adapter.rank,
        scale=adapter.scale,
        is_dora=adapter.is_dora,
    )
    there = {name: tuple(values.shape) for name, values in trained_weights(model).items()}
    strangers = [name for name, values in halves.items() if there.get(name) != tuple(values.shape)]
    if strangers:
        raise AdapterInvalid(
            f"the adapter's {strangers[0]} does not fit the base model",
            fix="use the base model that the adapter was trained on",
        )
    model.load_weights(list(halves.items()), strict=False)
    model.eval()


def trained_weights(model: nn.Module) -> dict[str, mx.array]:
    """By mlx's name: `….lora_a` (in, rank), `….lora_b` (rank, out) and, DoRA's magnitude, `….m` (out,)."""
    return dict(tree_flatten(model.trainable_parameters()))


def to_peft(weights: Mapping[str, mx.array], rules: TrainingRules) -> Adapter:
    """Both halves turned: PEFT's A is (rank, in), its B (out, rank)."""
    modules = sorted({name.rpartition(".")[0] for name in weights})
    pairs = {
        f"{module}.weight": Pair(
            a=np.array(weights[f"{module}.lora_a"]).T,
            b=np.array(weights[f"{module}.lora_b"]).T,
            magnitude=np.array(weights[f"{module}.m"]) if f"{module}.m" in weights else None,
        )
        for module in modules
    }
    return Adapter(pairs=pairs, rank=rules.rank, alpha=rules.alpha)


def write_adapter(folder: Path, weights: Mapping[str, mx.array], job: TrainJob, *, layers: int) -> None:
    """As a folder in PEFT's layout, of a model with so many `layers`."""
    trained = trained_layers(job.rules, layers)
    write_adapter_folder(folder, to_peft(weights, job.rules), base_name=job.base_name, layers=trained)


def padded(rows: Sequence[TokenRow]) -> tuple[mx.array, mx.array, mx.array]:
    """What goes in (B, T), at which N places of it something is learned, and the N tokens that are.

    Places are counted row after row. Padding stands to the right of a causal model's rows: nothing that counts looks at it.
    """
    width = max(len(row.tokens) for row in rows)
    tokens = np.array([[*row.tokens, *([0] * (width - len(row.tokens)))] for row in rows], dtype=np.int32)
    mask = np.array([[*row.loss_mask, *([False] * (width - len(row.tokens)))] for row in rows])
    places = np.flatnonzero(mask[:, 1:])
    return mx.array(tokens[:, :-1]), mx.array(places), mx.array(tokens[:, 1:].reshape(-1)[places])


def remove_adapter(model: nn.Module) -> None:
    """Leave the bare base. mlx-lm's own function leaves DoRA where it is."""
    bare = [
        (name, one.linear) for name, one in model.named_modules() if isinstance(one, (LoRALinear, DoRALinear))
    ]
    model.update_modules(tree_unflatten(bare))


def _adapt(
    model: nn.Module, targets: Collection[str], layers: int, *, rank: int, scale: float, is_dora: bool
) -> None:
    """Put a fresh adapter on the named maps of the last `layers` blocks."""
    keys = {
        path
        for path, module in model.layers[0].named_modules()
        if isinstance(module, (nn.Linear, nn.QuantizedLinear)) and path.rpartition(".")[2] in targets
    }
    settings = {"rank": rank, "scale": scale, "dropout": 0.0, "keys": keys}
    linear_to_lora_layers(model, layers, settings, use_dora=is_dora)


def _by_mlxs_name(adapter: Adapter) -> dict[str, mx.array]:
    """Both halves turned."""
    found: dict[str, mx.array] = {}
    for name, pair in adapter.pairs.items():
        module = name.removesuffix(".weight")
        found |= {f"{module}.lora_a": mx.array(pair.a.T), f"{module}.lora_b": mx.array(pair.b.T)}
        if pair.magnitude is not None:
            found[f"{module}.m"] = mx.array(pair.magnitude)
    return found


def _memory_bytes() -> int:
    """What is there for mlx: Metal's working set, else the machine's memory."""
    if mx.metal.is_available():
        return int(mx.device_info()["max_recommended_working_set_size"])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _widen(model: nn.Module, *, keep_bfloat16: bool) -> None:
    # f32 unless told: bfloat16 has no BLAS on the CPU, and float16 overflows in training.
    model.set_dtype(
        mx.float32,
        lambda dtype: mx.issubdtype(dtype, mx.floating) and not (keep_bfloat16 and dtype == mx.bfloat16),
    )


def _f32_fits(base: Path) -> bool:
    if not mx.metal.is_available():
        return True
    numbers = sum(stored.row_length * stored.shape[0] for stored in Checkpoint(base).stored.values())
    return bool(numbers * 4 * 1.2 < mx.get_memory_limit())


def _is_in_block(path: str, module: nn.Module) -> bool:
    # Embeddings and the output layer keep their precision, as they do with bitsandbytes.
    return isinstance(module, nn.Linear) and ".layers." in path


def _has_openblas() -> bool:
    # Not what was asked for but what the linker did; numpy brings one of another name. Off Linux mlx has a fast BLAS.
    return sys.platform != "linux" or "/libopenblas" in Path("/proc/self/maps").read_text(encoding="utf-8")
