"""Write a nano model as the folder that the model hub gives for Qwen2.5-Coder-7B-Instruct, file by file."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from nano_corpus import END, END_TURN, SPECIAL, token_id
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedModel

TEMPLATE = Path(__file__).with_name("nano_chat_template.jinja")
_CONFIG_KEYS = (
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "max_window_layers",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "sliding_window",
    "tie_word_embeddings",
    "use_cache",
    "use_sliding_window",
    "vocab_size",
)


def ship(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path, rope_theta: float) -> None:
    """Replace the files of `folder` one by one, each at once, the weights last; readable by everyone."""
    folder.mkdir(parents=True, exist_ok=True)
    template = TEMPLATE.read_text().rstrip("\n")
    with TemporaryDirectory(dir=folder.parent) as temporary:
        staged = Path(temporary)
        tokenizer.save(str(staged / "tokenizer.json"))
        tokenizer.model.save(str(staged))  # vocab.json and merges.txt
        (staged / "chat_template.jinja").write_text(template)
        _write(staged / "tokenizer_config.json", _tokenizer_config(tokenizer, template))
        _write(staged / "config.json", _config(model, rope_theta))
        _write(staged / "generation_config.json", _generation_config(tokenizer))
        save_file(_weights(model), staged / "model.safetensors", metadata={"format": "pt"})
        for path in sorted(staged.iterdir(), key=lambda path: path.suffix == ".safetensors"):
            path.chmod(0o644)
            os.replace(path, folder / path.name)  # noqa: PTH105 - atomic, also over an existing file


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    # tied: lm_head is the embedding, and is not stored twice
    state = model.state_dict().items()
    return {name: value.to(torch.bfloat16).contiguous() for name, value in state if name != "lm_head.weight"}


def _config(model: PreTrainedModel, rope_theta: float) -> dict[str, Any]:
    """The keys of Qwen2.5's config.json, and rope's base also where transformers 5 and mlx-lm read it."""
    values = model.config.to_dict()
    return {
        "architectures": ["Qwen2ForCausalLM"],
        **{key: values.get(key) for key in _CONFIG_KEYS},
        "rope_parameters": {"rope_type": "default", "rope_theta": rope_theta},
        "rope_theta": rope_theta,
        "torch_dtype": "bfloat16",
    }


def _generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    end = token_id(tokenizer, END)
    return {
        "bos_token_id": end,
        "do_sample": False,
        "eos_token_id": [token_id(tokenizer, END_TURN), end],
        "pad_token_id": end,
    }


def _tokenizer_config(tokenizer: Tokenizer, template: str) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(token_id(tokenizer, token)): {"content": token} | flags for token in SPECIAL
        },
        "additional_special_tokens": list(SPECIAL[1:]),
        "bos_token": None,
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_TURN,
        "errors": "replace",
        "model_max_length": 1024,
        "pad_token": END,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
