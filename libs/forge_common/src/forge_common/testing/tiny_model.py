"""A model folder with random weights, made in a moment without torch: for tests of what reads such folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from forge_common.testing import sentencepieces
from forge_common.testing.sentencepieces import Prefix

QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_WORDS = QWEN_WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|")
TEKKEN_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = {"qwen2": QWEN_WORDS, "qwen3": QWEN_WORDS, "llama": LLAMA_WORDS, "mistral": TEKKEN_WORDS}
CLASSES = {"qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama", "mistral": "Mistral"}
NAMES = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Qwen2.5's in short: tool calls and their results as it writes them.
TEMPLATE = """{%- for message in messages %}
    {%- if message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- elif message.tool_calls %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
TEXT = [
    "def add(a, b):\n    return a + b\n",
    "Write a function that returns the product of two numbers.",
    "The quick brown fox jumps over the lazy dog, twice; 1234 times.",
    "system\nuser\nassistant\n<tool_call>\n</tool_call>",
]

Family = Literal["qwen2", "qwen3", "llama", "mistral"]
Dtype = Literal["F32", "F16", "BF16"]


def write_tiny_model(
    folder: Path,
    family: Family = "qwen2",
    *,
    tied: bool = True,
    dtype: Dtype = "F32",
    seed: int = 0,
    pieces: Prefix | None = None,
    **overrides: Any,
) -> Path:
    """Write config, tokenizer and random weights; `overrides` go into config.json.

    With `pieces` the tokenizer is of SentencePiece's kind, which puts a space where that says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(WORDS[family]) if pieces is None else sentencepieces.tokenizer(pieces, TEXT)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = _config(family, tokenizer.get_vocab_size() + 5, tied=tied) | overrides
    config["eos_token_id"] = tokenizer.token_to_id("<|im_end|>" if pieces is None else "</s>")
    _save_json(folder / "config.json", config)
    _save_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        | (NAMES if pieces is None else sentencepieces.NAMES),
    )
    template = TEMPLATE if pieces is None else sentencepieces.TEMPLATE
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    random = np.random.default_rng(seed)
    tensors = {name: _random(name, shape, random) for name, shape in tensor_shapes(config)}
    _mute(tensors, tokenizer)
    write_tensors(folder / "model.safetensors", tensors, dtype)
    return folder


def write_tensors(path: Path, tensors: dict[str, NDArray[np.float32]], dtype: Dtype) -> None:
    """A safetensors file; bfloat16 by cutting the lower half off."""
    data = {name: _stored(tensor, dtype) for name, tensor in tensors.items()}
    header, offset = {}, 0
    for name, raw in data.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, offset + len(raw)],
        }
        offset += len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data.values()))


def _tokenizer(words: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def _config(family: Family, vocab_size: int, *, tied: bool) -> dict[str, Any]:
    return {
        "architectures": [f"{CLASSES[family]}ForCausalLM"],
        "model_type": family,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "vocab_size": vocab_size,
    } | ({"sliding_window": None} if family == "mistral" else {})


def tensor_shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield f"{at}.self_attn.{name}_proj.weight", (rows, width)
            if config["model_type"] == "qwen2":
                yield f"{at}.self_attn.{name}_proj.bias", (rows,)
        if config["model_type"] == "qwen3":
            yield f"{at}.self_attn.q_norm.weight", (head,)
            yield f"{at}.self_attn.k_norm.weight", (head,)
        yield f"{at}.self_attn.o_proj.weight", (width, q)
        yield f"{at}.mlp.gate_proj.weight", (inner, width)
        yield f"{at}.mlp.up_proj.weight", (inner, width)
        yield f"{at}.mlp.down_proj.weight", (width, inner)
        yield f"{at}.input_layernorm.weight", (width,)
        yield f"{at}.post_attention_layernorm.weight", (width,)
    yield "model.norm.weight", (width,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], width)


def _random(name: str, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    # Large enough that the next token depends on order and place, so that a wrong RoPE or permutation shows.
    centre = 1.0 if "norm" in name else 0.0
    return (centre + random.standard_normal(shape) * 0.2).astype(np.float32)


def _mute(tensors: dict[str, NDArray[np.float32]], tokenizer: Tokenizer) -> None:
    # Random answers would be full of broken UTF-8, which servers hold back; their logits are zero, so others win.
    loud = [i for text, i in tokenizer.get_vocab().items() if _is_whole_ascii(text)]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in tensors:
            kept = tensors[name][loud]
            tensors[name][:] = 0.0
            tensors[name][loud] = kept


def _is_whole_ascii(token: str) -> bool:
    return token.translate({ord("Ġ"): "", ord("▁"): ""}).isascii() and not token.startswith("<0x")


def _stored(tensor: NDArray[np.float32], dtype: Dtype) -> bytes:
    if dtype == "BF16":
        return bytes((tensor.view(np.uint32) >> 16).astype("<u2").tobytes())
    return bytes(tensor.astype("<f4" if dtype == "F32" else "<f2").tobytes())


def _save_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
