"""Which blocks compute their activations a second time in the backward pass: as few as the card's memory asks for.

Decided once, after the first pass, from what that pass took. On the CPU no block does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import PeftModel
from transformers.modeling_layers import GradientCheckpointingLayer

from forge_trainer_cuda.memory import budget_bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """Bytes of one forward and backward pass of `tokens` tokens in which a single block kept its activations."""

    tokens: int
    resting: int
    """What was there before: weights and adapter."""
    peak: int
    kept: int
    """By that block."""


def blocks_that_keep(seen: Pass, budget: int, most_tokens: int, blocks: int) -> int:
    """How many of `blocks` can keep their activations when `most_tokens` go through at once."""
    growth = most_tokens / seen.tokens
    spare = budget - seen.resting - (seen.peak - seen.resting) * growth
    # The peak had one block's in it already.
    return max(0, min(blocks, 1 + int(spare // max(1.0, seen.kept * growth))))


class Recompute:
    """All blocks but the last until a pass was watched, then what that pass says."""

    def __init__(self, model: PeftModel, device: str) -> None:
        self._blocks = [each for each in model.modules() if isinstance(each, GradientCheckpointingLayer)]
        self._is_settled = device != "cuda"
        self.kept = len(self._blocks)
        # AdamW's two, in f32, which the first pass has not seen yet.
        self._states = 8 * sum(each.numel() for each in model.parameters() if each.requires_grad)
        if not self._is_settled:
            model.get_base_model().gradient_checkpointing_enable({"use_reentrant": False})
            self._keep(1)

    def compile_blocks(self) -> None:
        """For rows of any lengths."""
        for block in self._blocks:
            block.compile(dynamic=True)

    @contextmanager
    def watching(self, tokens: int, most_tokens: int) -> Iterator[None]:
        """One forward and backward pass of `tokens` tokens; there will be some of `most_tokens`."""
        if self._is_settled:
            yield
            return
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        resting = torch.cuda.memory_allocated()
        with _kept_by(self._blocks[-1]) as kept:
            yield
        torch.cuda.synchronize()
        seen = Pass(tokens, resting, torch.cuda.max_memory_allocated(), kept[-1])
        budget = budget_bytes() - self._states
        self._keep(blocks_that_keep(seen, budget, most_tokens, len(self._blocks)))
        self._is_settled = True

    def all_again(self) -> None:
        """Memory ran out all the same."""
        if torch.cuda.is_available():
            self._keep(0)
            self._is_settled = True

    def _keep(self, blocks: int) -> None:
        """The last ones: theirs is freed first."""
        self.kept, first = blocks, len(self._blocks) - blocks
        for number, block in enumerate(self._blocks):
            block.gradient_checkpointing = number < first


@contextmanager
def _kept_by(block: torch.nn.Module) -> Iterator[list[int]]:
    """How much more memory is in use after the block's forward pass than before."""
    sizes: list[int] = []
    hooks = [
        block.register_forward_pre_hook(lambda *_: sizes.append(-torch.cuda.memory_allocated())),
        block.register_forward_hook(lambda *_: sizes.append(sizes.pop() + torch.cuda.memory_allocated())),
    ]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()
