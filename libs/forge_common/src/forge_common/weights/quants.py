"""How each tensor of a GGUF is stored: llama.cpp's own mixes for a 4- to 8-bit file, and the encoding of its rows.

f16 and Q8_0 are written by numpy; the K-quants and Q4_0 by llama.cpp, through the engine's library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import LlamaFileType, quants
from gguf.constants import GGML_QUANT_SIZES
from numpy.typing import NDArray

from forge_common.contracts.domain import Quant
from forge_common.errors import Invalid
from forge_common.weights.checkpoint import Array, fit

_BY_NUMPY = {Kind.F32, Kind.F16, Kind.Q8_0}
# What a row that holds no whole block of 256 is stored as instead: a little larger, never worse.
_NARROW = {Kind.Q4_K: Kind.Q5_0, Kind.Q5_K: Kind.Q5_1, Kind.Q6_K: Kind.Q8_0}


@dataclass(frozen=True, slots=True)
class Mix:
    """`kind` for most matrices, `sensitive` for values and the way back from the MLP in the blocks where errors cost
    most, `output` for the matrix that makes logits.
    """

    file_type: Any
    kind: Any
    sensitive: Any
    output: Any


_MIXES: dict[Quant, Mix] = {
    "f16": Mix(LlamaFileType.MOSTLY_F16, Kind.F16, Kind.F16, Kind.F16),
    "q8_0": Mix(LlamaFileType.MOSTLY_Q8_0, Kind.Q8_0, Kind.Q8_0, Kind.Q8_0),
    "q6_k": Mix(LlamaFileType.MOSTLY_Q6_K, Kind.Q6_K, Kind.Q6_K, Kind.Q6_K),
    "q5_k_m": Mix(LlamaFileType.MOSTLY_Q5_K_M, Kind.Q5_K, Kind.Q6_K, Kind.Q6_K),
    "q4_k_m": Mix(LlamaFileType.MOSTLY_Q4_K_M, Kind.Q4_K, Kind.Q6_K, Kind.Q6_K),
    "q4_0": Mix(LlamaFileType.MOSTLY_Q4_0, Kind.Q4_0, Kind.Q4_0, Kind.Q6_K),
}


def file_type(quant: Quant) -> Any:
    return _MIXES[quant].file_type


def writes_rows(quant: Quant) -> bool:
    """Whether files of this kind are written here row by row, without a file in between."""
    if quant in ("f16", "q8_0"):
        return True
    return bool(_kquants().has_rows())


def is_possible(quant: Quant) -> bool:
    if writes_rows(quant):
        return True
    return _kquants().program() is not None


def stored_as(name: str, shape: tuple[int, ...], quant: Quant, *, layers: int, is_tied: bool) -> Any:
    """How the tensor `name` (a GGUF name) is stored: vectors as f32, matrices as llama.cpp's mix says."""
    if len(shape) == 1:
        return Kind.F32
    return _whole_blocks(_wanted(name, _MIXES[quant], layers, is_tied=is_tied), shape[-1])


def encode(block: Array, kind: Any, name: str) -> NDArray[Any]:
    """Raises UnsupportedWeights for numbers that do not fit, QuantiserMissing where llama.cpp is needed and lacking."""
    # Every block format keeps its scales as f16, so what fits f16 fits it too.
    fit(block, np.dtype(np.float32 if kind == Kind.F32 else np.float16), name)
    plain = np.ascontiguousarray(block, dtype=np.float32)
    if kind in _BY_NUMPY:
        encoded: NDArray[Any] = quants.quantize(plain, kind)
        return np.ascontiguousarray(encoded)
    rows: NDArray[np.uint8] = _kquants().rows(plain, kind)
    return rows


def _kquants() -> Any:
    """llama.cpp's code, behind the engine's library: trainers have it, forge_common alone does without."""
    try:
        from forge_engine import kquants
    except ImportError as error:
        raise Invalid(
            "K-quants are written by the engine's library, which is not installed here",
            code="engine_library_missing",
            fix="install forge-engine here, or take q8_0 or f16",
        ) from error
    return kquants


def _wanted(name: str, mix: Mix, layers: int, *, is_tied: bool) -> Any:
    if name == "output.weight" or (is_tied and name == "token_embd.weight"):
        return mix.output
    part = name.removeprefix("blk.").partition(".")
    if part[2] in ("attn_v.weight", "ffn_down.weight") and _is_sensitive(int(part[0]), layers):
        return mix.sensitive
    return mix.kind


def _is_sensitive(layer: int, layers: int) -> bool:
    """The first and the last eighth of the blocks, and every third between: as llama.cpp's medium mixes do."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _whole_blocks(kind: Any, width: int) -> Any:
    """A row must hold whole blocks; narrow models keep more bits there."""
    for fitting in (kind, _NARROW.get(kind, Kind.F16), Kind.F16):
        per_block, _ = GGML_QUANT_SIZES[fitting]
        if width % per_block == 0:
            return fitting
    raise AssertionError(width)
