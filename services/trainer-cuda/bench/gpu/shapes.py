"""A base model with a 7B's shapes and random weights, and rows of chat lengths: what is measured needs no real ones."""

from __future__ import annotations

import json
import math
import shutil
import zlib
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from forge_common import nano

QWEN2_5_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
TINY = QWEN2_5_7B | {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
}
# A prime: no two rows of a map are alike.
NOISE = 4_194_301
MEDIAN_TOKENS = 350
SPREAD = 0.9
# About a third of a conversation was written by the assistant.
LEARNED = 1 / 3


def write_base(folder: Path, shape: dict[str, Any]) -> Path:
    """In bf16, one file a block: the whole is never in memory twice. The nano tokenizer, as rows come as token ids."""
    folder.mkdir(parents=True)
    config = AutoConfig.for_model("qwen2", **shape)
    config.architectures, config.dtype = ["Qwen2ForCausalLM"], torch.bfloat16
    config.save_pretrained(folder)
    with torch.device("meta"):
        names = {
            name: value.shape for name, value in AutoModelForCausalLM.from_config(config).state_dict().items()
        }
    files: dict[str, dict[str, torch.Size]] = {}
    for name, size in names.items():
        files.setdefault(_file_of(name), {})[name] = size
    noise = torch.empty(NOISE).normal_(0, 0.02, generator=torch.Generator().manual_seed(1)).bfloat16()
    for file, sizes in files.items():
        save_file(
            {name: _weight(name, size, noise) for name, size in sizes.items()},
            folder / file,
            {"format": "pt"},
        )
    index = {"metadata": {}, "weight_map": {name: _file_of(name) for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for path in nano.base_dir().iterdir():
        if "token" in path.name or path.suffix == ".jinja":
            shutil.copy(path, folder / path.name)
    return folder


def chat_lengths(tokens: int, longest: int, seed: int = 1) -> list[int]:
    """Log-normal, until there are so many tokens."""
    random = Random(seed)  # noqa: S311  a choice, not a secret
    lengths: list[int] = []
    while sum(lengths) < tokens:
        lengths.append(max(24, min(longest, round(random.lognormvariate(math.log(MEDIAN_TOKENS), SPREAD)))))
    return lengths


def token_rows(lengths: list[int], vocabulary: int, seed: int = 1) -> tuple[list[list[int]], list[list[int]]]:
    """Random tokens and their masks: what the assistant wrote stands at the end."""
    random = Random(seed)  # noqa: S311  as above
    tokens = [[random.randrange(10, min(vocabulary, 700)) for _ in range(length)] for length in lengths]
    masks = [[int(place >= length * (1 - LEARNED)) for place in range(length)] for length in lengths]
    return tokens, masks


def _file_of(name: str) -> str:
    block = name.split(".")[2] if ".layers." in name else name.split(".")[-2]
    return f"model-{block}.safetensors"


def _weight(name: str, size: torch.Size, noise: torch.Tensor) -> torch.Tensor:
    """Every map begins elsewhere in the same noise: numbers of its own would take minutes."""
    if "norm" in name:
        return torch.ones(size, dtype=torch.bfloat16)
    begin = zlib.crc32(name.encode()) % NOISE
    repeated = noise.roll(-begin).repeat(-(-size.numel() // NOISE))
    return repeated[: size.numel()].view(size).clone()
