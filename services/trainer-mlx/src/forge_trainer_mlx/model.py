"""The base model in mlx, and LoRA on it. Nothing here trains; nothing here writes into a base."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model, quantize_model

from forge_common.contracts.domain import TrainingRules
from forge_common.logging import get_logger
from forge_common.weights.adapter import Adapter, AdapterInvalid, Pair, trained_layers
from forge_common.weights.architectures import architecture
from forge_common.weights.checkpoint import Checkpoint, model_config, rope_theta

log = get_logger()

# mlx-lm's own 4-bit form; about NF4's size and loss.
QUANTISATION = {"group_size": 64, "bits": 4}


def prepare_device(memory_share: float) -> str:
    """Choose the device, keep it from taking the whole machine's memory, and say in words what it is."""
    if not mx.metal.is_available():
        mx.set_default_device(mx.cpu)
        is_fast = _has_openblas()
        if not is_fast:
            log.warning(
                "blas.missing",
                detail="matrix products run about twenty times slower than with OpenBLAS",
                fix="install it (Debian, Ubuntu: apt install libopenblas0-pthread), or train with trainer-cuda",
            )
        return f"cpu ({mx.device_info().get('device_name', 'unknown')}{'' if is_fast else ', slow BLAS'})"
    facts = mx.device_info()
    # Past this mlx waits for memory to come free instead of driving the whole machine into swap.
    limit = int(float(facts["max_recommended_working_set_size"]) * memory_share)
    mx.set_memory_limit(limit)
    mx.set_wired_limit(limit)
    return f"metal ({facts.get('device_name', 'Apple silicon')})"


def load_trainable(base: Path, rules: TrainingRules) -> nn.Module:
    """The frozen base with a fresh LoRA whose initial weights `rules.seed` fixes; 4-bit for `qlora`."""
    model, config = load_model(base, lazy=True, model_config=rope_settings(model_config(base)))
    _widen(model, keep_bfloat16=mx.default_device() == mx.gpu)
    if rules.method == "qlora":
        model, _ = quantize_model(model, config, **QUANTISATION, quant_predicate=_is_in_block)
    model.freeze()
    layers = trained_layers(rules, len(model.layers))
    mx.random.seed(rules.seed)
    linear_to_lora_layers(
        model,
        len(layers or model.layers),
        {"rank": rules.rank, "scale": rules.alpha / rules.rank, "dropout": 0.0},
    )
    mx.eval(model.parameters())
    return model


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


def last_logits(model: nn.Module, tokens: mx.array, places: mx.array) -> mx.array:
    """Logits (N, vocabulary) at N `places` of `tokens` (B, T), counted row after row.

    Over all tokens they would be the largest array by far.
    """
    hidden = model.model(tokens)
    chosen = hidden.reshape(-1, hidden.shape[-1])[places]
    is_tied = model.args.tie_word_embeddings
    logits: mx.array = model.model.embed_tokens.as_linear(chosen) if is_tied else model.lm_head(chosen)
    return logits


def load_adapter(model: nn.Module, adapter: Adapter) -> None:
    """Put a trained adapter on a bare base. Raises AdapterInvalid when it belongs to another one."""
    halves = [
        (f"{name.removesuffix('.weight')}.lora_{half}", mx.array(values))
        for name, pair in adapter.pairs.items()
        for half, values in (("a", pair.a.T), ("b", pair.b.T))
    ]
    blocks = {int(name.split(".")[2]) for name in adapter.pairs}
    settings = {"rank": adapter.rank, "scale": adapter.scale, "dropout": 0.0}
    linear_to_lora_layers(model, len(model.layers) - min(blocks), settings)
    there = {name: tuple(values.shape) for name, values in trained_weights(model).items()}
    strangers = [name for name, values in halves if there.get(name) != tuple(values.shape)]
    if strangers:
        raise AdapterInvalid(
            f"the adapter's {strangers[0]} does not fit the base model",
            fix="use the base model that the adapter was trained on",
        )
    model.load_weights(halves, strict=False)
    model.eval()


def trained_weights(model: nn.Module) -> dict[str, mx.array]:
    """The LoRA halves by mlx's name: `….lora_a` (in, rank) and `….lora_b` (rank, out)."""
    return dict(tree_flatten(model.trainable_parameters()))


def to_peft(weights: Mapping[str, mx.array], rules: TrainingRules) -> Adapter:
    """Both halves turned: PEFT's A is (rank, in), its B (out, rank)."""
    modules = sorted({name.rpartition(".")[0] for name in weights})
    pairs = {
        f"{module}.weight": Pair(
            a=np.array(weights[f"{module}.lora_a"]).T, b=np.array(weights[f"{module}.lora_b"]).T
        )
        for module in modules
    }
    return Adapter(pairs=pairs, rank=rules.rank, alpha=rules.alpha)


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
