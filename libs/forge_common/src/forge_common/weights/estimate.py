"""What a training needs in memory, by arithmetic on the base model's config: pure, and on the low side on purpose.

Refuses only what cannot work even with the shortest rows; how many tokens go at once is found out while training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from forge_common.contracts.domain import TrainingRules
from forge_common.errors import ForgeError
from forge_common.weights.room import SHORTEST_ROW

Kind = Literal["cuda", "cpu", "mlx"]

# What training goes down to before it gives up.
FEWEST_TOKENS = SHORTEST_ROW
# The driver's context, kernels and the allocator's rounding.
CONTEXT_BYTES = {"cuda": 700 << 20, "cpu": 400 << 20, "mlx": 400 << 20}
WORD_BYTES = {"cuda": 2, "cpu": 4, "mlx": 2}
# Bytes a weight. NF4 with double quantisation: half a byte, and a scale of 8 bits for every 64. mlx: a scale and a bias of
# 16 bits for every 64.
FOUR_BIT_BYTES = {
    "cuda": 0.5 + 1 / 64 + 4 / (64 * 256),
    "cpu": 0.5 + 1 / 64 + 4 / (64 * 256),
    "mlx": 0.5 + 4 / 64,
}
# The adapter in f32, its gradient, and AdamW's two moments.
ADAPTER_BYTES = 16
# The two rows of a preference pair go through together.
ROWS_AT_ONCE = {"sft": 1, "dpo": 2}
# Of f32 logits that are made at a time, and how often they are held: as they are, in f32, their gradient.
LOGITS_BYTES = 3 << 27
# Everything beside the device: interpreter, libraries, a file's pages.
PROCESS_BYTES = 1 << 30


class NotEnoughMemory(ForgeError):
    """The base model cannot be trained here by that method, whatever the row length."""

    status = 507


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a decoder that memory depends on. Maps go (in, out)."""

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    is_tied: bool
    maps: Mapping[str, tuple[int, int]]

    @property
    def block_weights(self) -> int:
        return self.layers * sum(rows * columns for rows, columns in self.maps.values())

    @property
    def embedding_weights(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.is_tied else 2)

    @property
    def weights(self) -> int:
        return self.block_weights + self.embedding_weights


@dataclass(frozen=True, slots=True)
class Need:
    """In bytes, on the device that trains."""

    weights: int
    adapter: int
    activations: int
    context: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.context

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "adapter and optimizer": self.adapter,
            "activations": self.activations,
            "driver": self.context,
        }
        return ", ".join(f"{name} {gib(size)}" for name, size in parts.items())


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """From a `config.json`; None for a model that is not described as Qwen2, Llama and Mistral are."""
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        wide = int(config["intermediate_size"])
        head = int(config.get("head_dim") or hidden // heads)
        keys = head * int(config.get("num_key_value_heads") or heads)
        return Shape(
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            intermediate=wide,
            vocabulary=int(config["vocab_size"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
            maps={
                "q_proj": (hidden, heads * head),
                "k_proj": (hidden, keys),
                "v_proj": (hidden, keys),
                "o_proj": (heads * head, hidden),
                "gate_proj": (hidden, wide),
                "up_proj": (hidden, wide),
                "down_proj": (wide, hidden),
            },
        )
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return None


def training_need(
    shape: Shape, rules: TrainingRules, kind: Kind, *, tokens: int | None = None, cards: int = 1
) -> Need:
    """On each of `cards`, with so many tokens in one pass; else with the fewest that a training goes down to."""
    tokens = fewest_tokens(rules) if tokens is None else tokens
    return Need(
        weights=_weight_bytes(shape, rules, kind, cards),
        adapter=adapter_weights(shape, rules) * ADAPTER_BYTES,
        activations=_activation_bytes(shape, rules, kind, tokens),
        context=CONTEXT_BYTES[kind],
    )


def fewest_tokens(rules: TrainingRules) -> int:
    return FEWEST_TOKENS * ROWS_AT_ONCE["dpo" if rules.dpo is not None else "sft"]


def adapter_weights(shape: Shape, rules: TrainingRules) -> int:
    layers = min(rules.num_layers or shape.layers, shape.layers)
    targets = rules.targets or tuple(shape.maps)
    return layers * rules.rank * sum(sum(shape.maps[name]) for name in targets if name in shape.maps)


def check_memory(
    name: str, shape: Shape, rules: TrainingRules, kind: Kind, *, free: int, total: int, cards: int = 1
) -> None:
    """Raises NotEnoughMemory with the arithmetic, and with what would fit."""
    need = training_need(shape, rules, kind, cards=cards)
    if need.total <= free:
        return
    where = {"cuda": "the card", "cpu": "this machine", "mlx": "Metal"}[kind]
    where = f"each of {cards} cards" if cards > 1 else where
    raise NotEnoughMemory(
        f"{name} by {rules.method} needs {gib(need.total)} at least ({need}); "
        f"{where} has {gib(free)} free of {gib(total)}",
        fix=_advice(shape, rules, kind, need, total),
    )


def would_fit(config: Mapping[str, Any], rules: TrainingRules, kind: Kind) -> str:
    """In words, what the base of that `config.json` needs at least, by each method that there is."""
    shape = shape_of(config)
    if shape is None:
        return "what would fit is not known for this kind of model"
    methods = dict.fromkeys((rules.method, "qlora"))
    needs = (training_need(shape, rules.model_copy(update={"method": method}), kind) for method in methods)
    least = ", ".join(f"by {method} {gib(need.total)}" for method, need in zip(methods, needs, strict=True))
    return f"by arithmetic it needs at least {least}, for rows of {FEWEST_TOKENS} tokens one at a time"


def ram_need(shape: Shape, kind: Kind) -> int:
    """Beside a card: a process, and the largest tensor as f32 on its way there and into a GGUF."""
    return PROCESS_BYTES + (shape.vocabulary * shape.hidden * 4 if kind == "cuda" else 0)


def check_ram(name: str, shape: Shape, kind: Kind, available: int) -> None:
    """Raises NotEnoughMemory."""
    needed = ram_need(shape, kind)
    if needed > available:
        raise NotEnoughMemory(
            f"loading {name} takes {gib(needed)} of the machine's memory; {gib(available)} are free",
            fix="end what uses memory, or add swap",
        )


def gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _weight_bytes(shape: Shape, rules: TrainingRules, kind: Kind, cards: int) -> int:
    word = WORD_BYTES[kind]
    if rules.method == "lora" and cards > 1:
        # A share of the blocks, whole the one that is computed and the one that comes next.
        blocks = shape.block_weights // cards + 2 * shape.block_weights // shape.layers
        return (blocks + shape.embedding_weights) * word
    if rules.method != "qlora":
        return shape.weights * word
    four_bit = FOUR_BIT_BYTES[kind]
    # Embeddings and the head stay as they are, by bitsandbytes' rules and by ours for mlx.
    return int(shape.block_weights * four_bit) + shape.embedding_weights * word


def _activation_bytes(shape: Shape, rules: TrainingRules, kind: Kind, tokens: int) -> int:
    """One block's tensors, kept for every block unless they are computed again on the way back; then the logits in f32."""
    word = WORD_BYTES[kind]
    block = tokens * word * (8 * shape.hidden + 4 * shape.intermediate)
    if kind == "mlx" or (rules.method == "qlora" and kind == "cuda"):
        kept = block + shape.layers * tokens * shape.hidden * word
    else:
        kept = block * min(rules.num_layers or shape.layers, shape.layers)
    return kept + min(2 * tokens * shape.vocabulary * 4, LOGITS_BYTES)


def _advice(shape: Shape, rules: TrainingRules, kind: Kind, need: Need, total: int) -> str:
    if need.total <= total:
        return "end what else uses it (a served model does: `ollama stop`), then `forge runs retry`"
    small = rules.model_copy(update={"method": "qlora"})
    least = training_need(shape, small, kind)
    if rules.method != "qlora" and least.total <= total:
        return f"set training.method to qlora, which needs {gib(least.total)}"
    return f"train on a device with {gib(least.total)} or more (method qlora), or choose a smaller base model"
