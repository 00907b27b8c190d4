"""What hidden states say of the tokens that follow, a few at a time: logits of a whole batch would be the largest tensor by far.

Sums are in f32 whatever the weights are: bf16 ones are off by a percent after 300 tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from torch.utils.checkpoint import checkpoint

# 128 MiB of them in f32: 220 tokens of a vocabulary of 152,000.
AT_ONCE = 2**25


def cross_entropy(hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed over (N, width), in nats. Fused: forward and backward hold the logits of one piece at a time."""
    if not len(labels):
        # Zero, and yet something to go back from: a pass that takes part for the others' sake.
        return hidden.float().sum()
    pieces = _pieces(hidden, head, labels)
    # Where one piece is all, torch's plain way is cheaper.
    fused = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=len(pieces[0][1]), chunking_method=None)
    total = torch.zeros((), device=hidden.device)
    for states, wanted in pieces:
        share = F.linear_cross_entropy(
            states.to(head.dtype),
            head,
            wanted,
            reduction="sum",
            options=fused if len(pieces) > 1 else None,
        )
        total = total + share.float()
    return total


def log_probabilities(hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Of each label, (N,) f32. Each piece's logits are made again in the backward pass."""
    found = [
        checkpoint(_log_probabilities, states, head, wanted, use_reentrant=False)
        for states, wanted in _pieces(hidden, head, labels)
    ]
    return torch.cat(found) if found else hidden.new_zeros(0, dtype=torch.float32)


def _log_probabilities(states: torch.Tensor, head: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return -F.cross_entropy(F.linear(states.to(head.dtype), head).float(), wanted, reduction="none")


def _pieces(
    hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    size = max(1, AT_ONCE // head.shape[0])
    return list(zip(hidden.split(size), labels.split(size), strict=True))
