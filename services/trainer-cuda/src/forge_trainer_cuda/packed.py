"""Rows back to back in one sequence, so that linear layers see no padding; attention keeps every row to itself.

On a card from Ampere on attention is torch's variable-length kernel; on older ones the rows are laid side by side for it
alone, and on the CPU it goes from row to row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import PeftModel
from transformers import AttentionInterface

from forge_common.weights.rows import TokenRow

ATTENTION = "forge_packed"
# What torch's variable-length kernel, which is FlashAttention's, needs at least: Ampere.
FLASH = (8, 0)


@dataclass(frozen=True, slots=True)
class Packed:
    """N tokens of B rows: ids, positions and targets (1, N); `bounds` (B + 1,) int32 is where the rows begin and end.

    `targets[i]` says that token `i + 1` was written by the assistant, in the same row; `wanted` are the places where it
    does, `wanted_labels` those tokens. All are made in the CPU's memory: the card never has to be waited for.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor
    wanted: torch.Tensor
    wanted_labels: torch.Tensor
    bounds: torch.Tensor
    longest: int


def pack(rows: Sequence[TokenRow], device: str) -> Packed:
    """Positions restart with every row."""
    lengths = [len(row.tokens) for row in rows]
    tokens = [token for row in rows for token in row.tokens]
    # What follows a row's last token belongs to somebody else.
    learned = [flag for row in rows for flag in (*row.loss_mask[1:], False)]
    positions = [place for length in lengths for place in range(length)]
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    ids, targets = torch.tensor([tokens]), torch.tensor([learned])
    labels, wanted = ids.roll(-1, dims=1), targets[0].nonzero()[:, 0]
    return Packed(
        ids=_on(device, ids),
        positions=_on(device, torch.tensor([positions])),
        targets=_on(device, targets),
        labels=_on(device, labels),
        wanted=_on(device, wanted),
        wanted_labels=_on(device, labels[0, wanted]),
        bounds=_on(device, torch.tensor(starts, dtype=torch.int32)),
        longest=max(lengths),
    )


def _on(device: str, tensor: torch.Tensor) -> torch.Tensor:
    """From pinned memory the copy runs beside what the card is doing."""
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def hidden_states(model: PeftModel, rows: Sequence[TokenRow], device: str) -> tuple[Packed, torch.Tensor]:
    """The last layer's states of the rows in one pass, (1, N, width)."""
    packed = pack(rows, device)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        states = model.get_base_model().model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            bounds=packed.bounds,
            longest=packed.longest,
        )
    return packed, states.last_hidden_state


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    bounds: torch.Tensor,
    longest: int,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The attention of transformers' models: query (1, H, N, D), key and value (1, H_kv, N, D) → (1, N, H, D)."""
    del module, attention_mask, dropout  # bounds say all that a mask would; adapters train without dropout
    rows = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]  # (N, H, D)
    if query.is_cuda and torch.cuda.get_device_capability(query.device) >= FLASH:
        from torch.nn.attention.varlen import varlen_attn

        out = varlen_attn(
            *rows, bounds, bounds, longest, longest, window_size=(-1, 0), scale=scaling, enable_gqa=True
        )
    elif query.is_cuda:
        out = _side_by_side(rows, bounds, longest, scaling)
    else:
        out = _row_by_row(rows, bounds, scaling)
    return out.unsqueeze(0), None


def _row_by_row(rows: list[torch.Tensor], bounds: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Side by side they would need padding, which costs by the square of the longest."""
    lengths = (bounds[1:] - bounds[:-1]).tolist()
    parts = [
        tensor.transpose(0, 1).unsqueeze(0).split(lengths, dim=2) for tensor in rows
    ]  # (1, H, length, D)
    attended = [
        F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
        for query, key, value in zip(*parts, strict=True)
    ]
    return torch.cat(attended, dim=2)[0].transpose(0, 1)


def _side_by_side(
    rows: list[torch.Tensor], bounds: torch.Tensor, longest: int, scaling: float | None
) -> torch.Tensor:
    """Each row padded to the longest on its right, where a causal model's tokens never look."""
    lengths = (bounds[1:] - bounds[:-1]).long()
    is_there = torch.arange(longest, device=bounds.device) < lengths[:, None]  # (B, longest)
    query, key, value = (_padded(tensor, is_there) for tensor in rows)
    out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    return out.transpose(1, 2)[is_there]


def _padded(tensor: torch.Tensor, is_there: torch.Tensor) -> torch.Tensor:
    """(N, H, D) → (B, H, longest, D)."""
    room = tensor.new_zeros(*is_there.shape, *tensor.shape[1:])
    return room.masked_scatter(is_there[..., None, None], tensor).transpose(1, 2)


def register() -> None:
    """Make `attn_implementation="forge_packed"` known; to have no mask it must not be registered among masks: transformers
    would look at the positions for one, and wait for the card at every pass.
    """
    AttentionInterface.register(ATTENTION, attend)
