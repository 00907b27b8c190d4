"""GGUF files from Hugging Face folders: a base (or a base with its adapter merged in), and an adapter of its own.

Tensors stream through in blocks of rows, so that a 7B needs about as much memory as a nano. Raises ArchitectureUnknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_VERSION, GGUFType, GGUFWriter
from gguf import GGMLQuantizationType as Kind
from gguf.constants import GGML_QUANT_SIZES, Keys

from forge_common.contracts.domain import Quant
from forge_common.weights.adapter import AdapterInvalid, Merged, read_adapter
from forge_common.weights.architectures import Architecture, architecture
from forge_common.weights.checkpoint import (
    Array,
    Checkpoint,
    Weights,
    blocks,
    model_config,
    rope_theta,
)
from forge_common.weights.gguf_tokenizer import add_tokenizer, check_tokenizer
from forge_common.weights.quants import encode, file_type, stored_as, writes_rows
from forge_common.weights.tokenizer import ModelFolderBroken


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor to be written: its name in the file and how its numbers are stored."""

    name: str
    source: str
    shape: tuple[int, ...]
    kind: Any

    @property
    def size(self) -> int:
        per_block, block_bytes = GGML_QUANT_SIZES[self.kind]
        return int(math.prod(self.shape) // per_block * block_bytes)


def check_exportable(src: Path) -> None:
    """Whether `write_base` will know this model: asked before hours of training on it, not after.

    Raises ArchitectureUnknown, PiecesInexact, ModelFolderBroken, UnsupportedWeights.
    """
    arch = architecture(model_config(src))
    _plan(Checkpoint(src), arch, "f16")
    check_tokenizer(src)


def write_base(
    src: Path,
    out: Path,
    *,
    quant: Quant,
    name: str,
    adapter: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write the model folder `src` as GGUF, with `adapter` merged in when given.

    Matrices are stored as `quant`, vectors as f32. The file appears under its name only when it is whole.
    What `check` raises ends the work. Raises QuantiserMissing where nothing on this machine writes `quant`.
    """
    if writes_rows(quant):
        _write_base(src, out, quant=quant, name=name, adapter=adapter, check=check)
        return
    from forge_engine import kquants  # as in `quants`

    plain, partial = out.with_name(out.name + ".f16"), _partial(out)
    if kquants.program() is None:
        raise kquants.QuantiserMissing(quant)
    try:
        _write_base(src, plain, quant="f16", name=name, adapter=adapter, check=check)
        kquants.quantise_file(plain, partial, quant, check)
        partial.replace(out)
    finally:
        plain.unlink(missing_ok=True)


def _write_base(
    src: Path, out: Path, *, quant: Quant, name: str, adapter: Path | None, check: Callable[[], None]
) -> None:
    base = Checkpoint(src)
    weights: Weights = base if adapter is None else Merged(base, read_adapter(adapter))
    arch = architecture(model_config(src))
    partial = _partial(out)
    writer = GGUFWriter(partial, arch.name)
    writer.add_type(GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(file_type(quant))
    writer.add_quantization_version(GGML_QUANT_VERSION)
    _add_shape(writer, arch)
    add_tokenizer(writer, src, int(arch.config["vocab_size"]))
    plan = _plan(weights, arch, quant)
    _write(writer, plan, lambda tensor: _base_blocks(tensor, weights, arch), check)
    partial.replace(out)


def write_adapter(src_base: Path, adapter_dir: Path, out: Path) -> None:
    """Write a PEFT adapter for the base in `src_base` as GGUF, its numbers as f16. Raises AdapterInvalid for DoRA's."""
    adapter = read_adapter(adapter_dir)
    if adapter.is_dora:
        raise AdapterInvalid(
            "a DoRA adapter scales whole rows of the base, which no adapter GGUF can say",
            fix="set deploy.mode to fused, or training.method to lora",
        )
    Merged(Checkpoint(src_base), adapter)  # refuses an adapter of another base
    arch = architecture(model_config(src_base))
    halves: dict[str, Array] = {}
    for name, pair in adapter.pairs.items():
        order = arch.row_order(name)
        gguf_name = arch.tensor_name(name)
        halves[f"{gguf_name}.lora_a"] = pair.a
        halves[f"{gguf_name}.lora_b"] = pair.b if order is None else pair.b[order]
    partial = _partial(out)
    writer = GGUFWriter(partial, arch.name)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, adapter.alpha)
    writer.add_file_type(file_type("f16"))
    plan = [Planned(name, name, half.shape, Kind.F16) for name, half in halves.items()]
    _write(writer, plan, lambda tensor: iter([halves[tensor.source]]))
    partial.replace(out)


def _partial(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.with_name(out.name + ".partial")


def _add_shape(writer: GGUFWriter, arch: Architecture) -> None:
    config = arch.config
    writer.add_block_count(arch.layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(arch.heads)
    writer.add_head_count_kv(arch.kv_heads)
    writer.add_key_length(arch.head_width)
    writer.add_value_length(arch.head_width)
    writer.add_rope_dimension_count(arch.head_width)
    writer.add_rope_freq_base(rope_theta(config))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _plan(weights: Weights, arch: Architecture, quant: Quant) -> list[Planned]:
    names = weights.names()
    if not arch.is_tied and "lm_head.weight" not in names:
        raise ModelFolderBroken("the base model has no lm_head.weight and its embeddings are not tied")
    plan = [
        _planned(name, weights.shape(name), arch, quant)
        for name in names
        if not (name == "lm_head.weight" and arch.is_tied) and not name.endswith("rotary_emb.inv_freq")
    ]
    factors = arch.rope_factors()
    return plan if factors is None else [*plan, Planned("rope_freqs.weight", "", factors.shape, Kind.F32)]


def _planned(name: str, shape: tuple[int, ...], arch: Architecture, quant: Quant) -> Planned:
    named = arch.tensor_name(name)
    return Planned(
        named, name, shape, stored_as(named, shape, quant, layers=arch.layers, is_tied=arch.is_tied)
    )


def _base_blocks(tensor: Planned, weights: Weights, arch: Architecture) -> Iterator[Array]:
    if not tensor.source:
        factors = arch.rope_factors()
        assert factors is not None
        yield factors
        return
    order = arch.row_order(tensor.source)
    if order is not None:
        yield weights.rows(tensor.source, 0, tensor.shape[0])[order]
        return
    for start, stop in blocks(tensor.shape):
        yield weights.rows(tensor.source, start, stop)


def _write(
    writer: GGUFWriter, plan: list[Planned], read: Any, check: Callable[[], None] = lambda: None
) -> None:
    for tensor in plan:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.size, tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    (file,) = writer.fout
    writer.write_padding(file, file.tell())
    for tensor in plan:
        for block in read(tensor):
            check()
            encode(block, tensor.kind, tensor.name).tofile(file)
        writer.write_padding(file, tensor.size)
    writer.close()
