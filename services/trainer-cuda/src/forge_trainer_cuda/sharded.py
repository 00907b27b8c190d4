"""A base that no single card holds: every process keeps a share of each block, and gathers a block while it computes it.

FSDP2 over the frozen weights of the blocks alone; the adapter, the embedding, the head and the norms are whole in every
process. Shares are read row by row from the base's files: nobody ever holds the whole. LoRA only: NF4's blocks lie across
the rows of a share, and DoRA begins with the norms of whole weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModelForCausalLM

from forge_common.weights.checkpoint import Checkpoint


def load_sharded(base: Path, dtype: torch.dtype, device: str, attention: str) -> Any:
    """This process's part of the frozen base. The processes of `cards.join` load together."""
    config = AutoConfig.from_pretrained(base)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    model.requires_grad_(requires_grad=False)
    inner = model.model
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for block in inner.layers:
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    whole = {parameter for parameter in model.parameters() if not isinstance(parameter, DTensor)}
    # The root, which lets the next block's weights come while this one computes.
    fully_shard(inner, mesh=mesh, ignored_params=whole)
    weights = dict(_weights(model, Checkpoint(base), dtype, device))
    model.load_state_dict(weights, assign=True, strict=False)
    model.tie_weights()
    # Buffers, which no file has.
    inner.rotary_emb = type(inner.rotary_emb)(config).to(device)
    return model


def _weights(
    model: torch.nn.Module, files: Checkpoint, dtype: torch.dtype, device: str
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, DTensor):
            yield name, _read(files, name, 0, len(parameter), dtype, device)
            continue
        start, stop = _share(len(parameter))
        yield (
            name,
            DTensor.from_local(
                _read(files, name, start, stop, dtype, device),
                parameter.device_mesh,
                parameter.placements,
                run_check=False,
                shape=parameter.shape,
                stride=parameter.stride(),
            ),
        )


def _share(rows: int) -> tuple[int, int]:
    """As `torch.chunk` divides them: all but the last have the same number."""
    size = -(-rows // dist.get_world_size())
    start = min(rows, dist.get_rank() * size)
    return start, min(rows, start + size)


def _read(  # noqa: PLR0917
    files: Checkpoint, name: str, start: int, stop: int, dtype: torch.dtype, device: str
) -> torch.Tensor:
    return torch.from_numpy(files.rows(name, start, stop)).to(device=device, dtype=dtype)
