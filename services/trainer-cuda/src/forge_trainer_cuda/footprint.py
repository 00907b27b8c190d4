"""How much of a card's memory a training needs, by arithmetic alone: `python -m forge_trainer_cuda.footprint BASE`.

Loads neither torch nor weights. What it says is held against measurements by `make bench-gpu`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

GIB = 2**30
BF16 = 2
F32 = 4
# NF4: half a byte, and for each block of 64 one byte whose own scale (of 256 blocks) takes four.
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
# CUDA's context with cuBLAS's workspaces, which the allocator does not count.
CONTEXT = GIB // 2
# Of the allocator's memory, lost between blocks of different sizes.
FRAGMENTATION = 0.05
# Of the logits that the cross-entropy makes at a time, and how often it holds them: as they are, in f32, their gradient.
LOGITS = 2**27
LOGIT_COPIES = 3
# More at once gains nothing; so few would leave the card idle.
MOST_TOKENS = 16_384
FEWEST_TOKENS = 512

Method = Literal["lora", "qlora"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a decoder of the Llama family: Qwen2, Qwen3, Llama, Mistral."""

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    is_tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """From a Hugging Face `config.json`."""
        heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
        return cls(
            layers=int(config["num_hidden_layers"]),
            width=width,
            inner=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_width=int(config.get("head_dim") or width // heads),
            vocabulary=int(config["vocab_size"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
        )

    @property
    def maps(self) -> tuple[tuple[int, int], ...]:
        """The linear maps of a block, each (in, out): q, k, v, o, gate, up, down."""
        query, key = self.heads * self.head_width, self.kv_heads * self.head_width
        return (
            (self.width, query),
            (self.width, key),
            (self.width, key),
            (query, self.width),
            (self.width, self.inner),
            (self.width, self.inner),
            (self.inner, self.width),
        )

    @property
    def block_weights(self) -> int:
        return sum(rows * columns for rows, columns in self.maps)

    @property
    def multiplied(self) -> int:
        """N of the 4N formula: weights that every token is multiplied with, the head included."""
        return self.layers * self.block_weights + self.vocabulary * self.width


@dataclass(frozen=True, slots=True)
class Profile:
    """Bytes. `kept` is what one block's activations take when they are not recomputed."""

    weights: int
    embeddings: int
    adapter: int
    optimizer: int
    activations: int
    one_block: int
    logits: int
    overhead: int
    kept: int

    @property
    def total(self) -> int:
        """With every block recomputed."""
        return (
            self.weights + self.embeddings + self.adapter + self.optimizer
            + self.activations + self.one_block + self.logits + self.overhead
        )  # fmt: skip


def profile(
    shape: Shape,
    method: Method,
    rank: int,
    tokens: int,
    *,
    head_on_card: bool = True,
    embedding_on_card: bool = True,
    is_8bit: bool = False,
    cards: int = 1,
) -> Profile:
    """Of a step on `tokens` tokens at once, every linear map of a block with an adapter of `rank`, all blocks recomputed.

    With `cards` the blocks' weights are divided among so many; embedding, head and adapter are not.
    """
    table = shape.vocabulary * shape.width * BF16
    tables = 1 if shape.is_tied else head_on_card + embedding_on_card
    weights = int(shape.layers * shape.block_weights * (NF4 if method == "qlora" else BF16))
    if cards > 1:
        weights = weights // cards + gathered(shape)
    lora = shape.layers * sum(rank * (rows + columns) for rows, columns in shape.maps)
    states = (2 * 1.02 if is_8bit else 2 * F32) * lora
    # The residual stream in bf16 at every block's beginning.
    activations = shape.layers * tokens * shape.width * BF16
    kept = _kept(shape, rank, tokens)
    largest = max(rows * columns for rows, columns in shape.maps) * BF16 if method == "qlora" else 0
    # And the gradient of the last hidden states.
    logits = LOGIT_COPIES * min(LOGITS, tokens * shape.vocabulary * F32) + tokens * shape.width * (F32 + BF16)
    held = weights + tables * table + 2 * F32 * lora + states + activations + kept + largest + logits
    return Profile(
        weights=weights,
        embeddings=tables * table,
        # Weights and gradients in f32.
        adapter=2 * F32 * lora,
        optimizer=int(states),
        activations=activations,
        # Forward and backward of one block, and the one weight that is dequantised for it.
        one_block=kept + largest,
        logits=logits,
        overhead=int(FRAGMENTATION * held),
        kept=kept,
    )


def gathered(shape: Shape) -> int:
    """Whole weights of the block that is computed, and of the next one, which are on their way."""
    return 2 * shape.block_weights * BF16


def _kept(shape: Shape, rank: int, tokens: int) -> int:
    """What autograd holds of one block under bf16 autocast, by token: inputs of maps, norms, attention, the gated product."""
    query, key = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    # Two norms hold their input in f32 and bf16, and what they give is the input of the next maps.
    norms = 2 * shape.width * (F32 + 2 * BF16)
    # Before and after the rotation; what attention gives is `o`'s input.
    attention = (3 * query + 4 * key) * BF16 + shape.heads * F32
    # gate, its activation, up, their product.
    gated = 4 * shape.inner * BF16
    lora = len(shape.maps) * rank * BF16
    return tokens * (norms + attention + gated + lora)


@dataclass(frozen=True, slots=True)
class Choice:
    """What fits into a card: how many tokens at once, and whether the embedding has to live beside the card."""

    tokens: int
    embedding_on_card: bool
    profile: Profile


def choose(
    shape: Shape, method: Method, rank: int, budget: int, *, tokens: int = MOST_TOKENS, cards: int = 1
) -> Choice | None:
    """The most tokens at once that `budget` bytes hold, halving from `tokens`; None when not even FEWEST_TOKENS fit.

    Where fewer than 4,096 would fit, the embedding leaves the card: rows are looked up in the CPU's memory, and a few
    megabytes a step cross the bus. Tied to the head it has to stay, and where the base is divided among `cards`.
    """
    for embedding_on_card, least in ((True, 4096), (False, FEWEST_TOKENS), (True, FEWEST_TOKENS)):
        if not embedding_on_card and (shape.is_tied or cards > 1):
            continue
        at_once = tokens
        while at_once >= least:
            found = profile(shape, method, rank, at_once, embedding_on_card=embedding_on_card, cards=cards)
            if found.total <= budget:
                return Choice(at_once, embedding_on_card, found)
            at_once //= 2
    return None


def is_divided(shape: Shape, method: Method, rank: int, budget: int, cards: int) -> bool:
    """Whether no card of `budget` bytes holds the base, and so many together do. NF4 is not divided: `sharded.py`."""
    if cards == 1 or method == "qlora" or choose(shape, method, rank, budget) is not None:
        return False
    return choose(shape, method, rank, budget, cards=cards) is not None


def tokens_that_fit(shape: Shape, method: Method, rank: int, free: int) -> int:
    """How many tokens at once `free` bytes hold beside the weights and a new adapter, all blocks recomputed."""
    found = profile(shape, method, rank, MOST_TOKENS)
    # Gradients and optimizer states are still to come.
    fixed = found.adapter // 2 + found.optimizer + LOGIT_COPIES * LOGITS + found.one_block - found.kept
    growing = (found.activations + found.kept + found.logits - LOGIT_COPIES * LOGITS) / MOST_TOKENS
    return max(FEWEST_TOKENS, min(MOST_TOKENS, int((free / (1 + FRAGMENTATION) - fixed) / growing)))


def table(choice: Choice, cards: int = 1) -> str:
    found = choice.profile
    rows = {
        "weights of the blocks": found.weights,
        "embedding and head, bf16": found.embeddings,
        "adapter and its gradients, f32": found.adapter,
        "AdamW's states, f32": found.optimizer,
        f"residual stream of {choice.tokens} tokens, all blocks": found.activations,
        "one block, recomputed, and its dequantised weight": found.one_block,
        "logits, in pieces": found.logits,
        "lost between": found.overhead,
        "together": found.total,
    }
    lines = [f"{name:52}{size / GIB:7.2f} GiB" for name, size in rows.items()]
    where = "on the card" if choice.embedding_on_card else "in the CPU's memory"
    lines.append(f"the embedding is {where}; CUDA's own {CONTEXT / GIB:.1f} GiB are beside it")
    if cards > 1:
        lines.append(f"the blocks are divided among {cards} cards, two whole at a time")
    half = choice.tokens // 2
    lines.append(f"DPO takes the same: both rows of a pair go at once, so up to {half} tokens each")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="forge_trainer_cuda.footprint", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("base", type=Path, help="a model's folder, or its config.json")
    parser.add_argument("--method", choices=("lora", "qlora"), default="qlora")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--gib", type=float, default=7.5, help="what the allocator may take, of each card")
    parser.add_argument("--cards", type=int, default=1, help="divide the base's blocks among so many (lora)")
    options = parser.parse_args()
    path = options.base / "config.json" if options.base.is_dir() else options.base
    shape = Shape.of(json.loads(path.read_text(encoding="utf-8")))
    if options.cards > 1 and options.method == "qlora":
        raise SystemExit("qlora is not divided: every card holds the whole base in 4 bits")
    choice = choose(shape, options.method, options.rank, int(options.gib * GIB), cards=options.cards)
    if choice is None:
        raise SystemExit(f"does not fit into {options.gib} GiB: take a smaller base model")
    print(table(choice, options.cards))  # noqa: T201  what the command is for


if __name__ == "__main__":
    main()
