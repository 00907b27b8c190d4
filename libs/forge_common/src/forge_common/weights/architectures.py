"""What llama.cpp calls the parts of each model family. An unknown family is refused: guessed names would serve nonsense."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
from gguf import MODEL_ARCH
from numpy.typing import NDArray

from forge_common.errors import Invalid
from forge_common.weights.checkpoint import rope_theta

# Byte-level BPE is fully described by the expression that cuts text into words; llama.cpp knows each by a name.
_WORDS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+": "tekken",
}
# What transformers takes for Mistral where config.json says nothing.
_MISTRALS_WINDOW = 4096


class ArchitectureUnknown(Invalid):
    """No GGUF can be written for this model family."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One model as llama.cpp reads it. `permutes`: q and k rows are stored in its own RoPE order (Llama, Mistral)."""

    kind: Any
    config: Mapping[str, Any]
    permutes: bool = False

    @property
    def name(self) -> str:
        return str(gguf.MODEL_ARCH_NAMES[self.kind])

    @property
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])

    @property
    def heads(self) -> int:
        return int(self.config["num_attention_heads"])

    @property
    def kv_heads(self) -> int:
        return int(self.config.get("num_key_value_heads") or self.heads)

    @property
    def head_width(self) -> int:
        return int(self.config.get("head_dim") or self.config["hidden_size"] // self.heads)

    @property
    def is_tied(self) -> bool:
        return bool(self.config.get("tie_word_embeddings", False))

    def tensor_name(self, name: str) -> str:
        """The GGUF name of a Hugging Face tensor. Raises ArchitectureUnknown."""
        names = gguf.get_tensor_name_map(self.kind, self.layers)
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ArchitectureUnknown(
                f"no GGUF name for tensor {name}",
                fix="use a plain Qwen2, Qwen3, Llama or Mistral model as the base",
            )
        return str(found)

    def row_order(self, name: str) -> NDArray[np.int64] | None:
        """In which order the tensor's rows are written; None leaves them as they are."""
        if not self.permutes:
            return None
        part = name.split(".")[-2]
        heads = {"q_proj": self.heads, "k_proj": self.kv_heads}.get(part)
        if heads is None:
            return None
        # Hugging Face keeps the two halves of each head apart, llama.cpp pairs them up.
        return np.arange(heads * self.head_width).reshape(heads, 2, -1).swapaxes(1, 2).reshape(-1)

    def rope_factors(self) -> NDArray[np.float32] | None:
        """Llama 3.1's stretched wavelengths, (head_width / 2,); None where RoPE is plain."""
        scaling = _scaling(self.config)
        if scaling is None:
            return None
        exponents = np.arange(0, self.head_width, 2) / self.head_width
        wavelengths = 2 * math.pi * rope_theta(self.config) ** exponents
        low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
        turns = float(scaling["original_max_position_embeddings"]) / wavelengths
        smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
        return (1.0 / ((1.0 - smooth) / float(scaling["factor"]) + smooth)).astype(np.float32)


def architecture(config: Mapping[str, Any]) -> Architecture:
    """Raises ArchitectureUnknown for what cannot be written exactly."""
    family = config.get("model_type")
    kinds = {
        "qwen2": MODEL_ARCH.QWEN2,
        "qwen3": MODEL_ARCH.QWEN3,
        "llama": MODEL_ARCH.LLAMA,
        "mistral": MODEL_ARCH.LLAMA,
    }
    if family not in kinds:
        raise ArchitectureUnknown(
            f"model family {family!r} cannot be written as GGUF", fix=f"use one of {', '.join(sorted(kinds))}"
        )
    if _slides(config):
        raise ArchitectureUnknown("the base model uses sliding-window attention", fix="use a base without it")
    if config.get("quantization_config") or config.get("quantization"):
        raise ArchitectureUnknown(
            "the base model is already quantised", fix="use its full-precision weights; we quantise them"
        )
    _scaling(config)
    return Architecture(kind=kinds[family], config=config, permutes=family in ("llama", "mistral"))


def word_splitter(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for how `tokenizer.json` cuts text into words. Raises ArchitectureUnknown."""
    step = tokenizer.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers", [step])
    expressions = [each["pattern"].get("Regex") for each in steps if each.get("type") == "Split"]
    known = [_WORDS[expression] for expression in expressions if expression in _WORDS]
    if tokenizer.get("model", {}).get("type") != "BPE" or len(expressions) != 1 or not known:
        raise ArchitectureUnknown(
            "the base model's tokenizer is of a kind that cannot be written as GGUF",
            fix="use a base with Qwen's, Llama's or Mistral's tokenizer",
        )
    return known[0]


def _slides(config: Mapping[str, Any]) -> bool:
    """Whether attention looks back over less than the whole context."""
    if config.get("model_type") != "mistral":
        return bool(config.get("use_sliding_window"))
    window = config.get("sliding_window", _MISTRALS_WINDOW)
    return window is not None and int(window) < int(config["max_position_embeddings"])


def _scaling(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = found.get("rope_type") or found.get("type") or "default"
    if kind not in ("default", "llama3"):
        raise ArchitectureUnknown(
            f"the base model scales RoPE by {kind!r}", fix="use a base with plain or Llama 3.1's RoPE"
        )
    return found if kind == "llama3" else None
