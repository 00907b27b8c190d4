"""LoRA on the CPU: its change is added to the weights for one pass, not to what comes of every token.

A pass has thousands of tokens and a weight matrix only hundreds of rows, so that this saves two matrix products and two
sweeps over all tokens of every map. For f32 alone: narrower numbers would round the change away.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import LoraConfig
from peft.tuners import lora


def use(config: LoraConfig) -> LoraConfig:
    """PEFT's own door for layers of another make."""
    config._register_custom_module({torch.nn.Linear: MergedLinear})  # noqa: SLF001  its documentation says so
    return config


class MergedLinear(lora.Linear):  # type: ignore[misc]
    """What `lora.Linear` computes, for one adapter of plain LoRA without dropout."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        (adapter,) = self.active_adapters
        if self.disable_adapters or self.merged or args or kwargs:
            return super().forward(x, *args, **kwargs)
        change = self.lora_A[adapter].weight, self.lora_B[adapter].weight, self.scaling[adapter]
        out: torch.Tensor = _Merged.apply(x, self.base_layer.weight, self.base_layer.bias, *change)
        return out


class _Merged(torch.autograd.Function):  # type: ignore[misc]
    """x (…, in) → (…, out) by `weight + scale · b a`, where a is (rank, in) and b (out, rank); only these two learn."""

    @staticmethod
    def forward(  # noqa: PLR0917  autograd passes them by their places
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return F.linear(x, torch.addmm(weight, b, a, alpha=scale), bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, a, b = ctx.saved_tensors
        of_out, of_in = gradient.flatten(0, -2), x.flatten(0, -2)
        of_x = None
        if ctx.needs_input_grad[0]:
            # Added up a second time: kept, it would double the base's memory.
            of_x = (of_out @ torch.addmm(weight, b, a, alpha=ctx.scale)).view_as(x)
        of_a = (of_out @ b).mul_(ctx.scale).t() @ of_in
        of_b = (of_out.t() @ (of_in @ a.t())).mul_(ctx.scale)
        return of_x, None, None, of_a, of_b, None
