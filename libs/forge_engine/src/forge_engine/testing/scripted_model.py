"""Real Qwen2 GGUFs of a megabyte whose greedy answers are known by construction, made in a moment without training.

Attention and feed-forward weights are zero, so the next token depends on the last one alone: `script` says which follows
which. llama.cpp computes them like any other model. An adapter of rank `len(changes)` moves some tokens to other ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from numpy.typing import NDArray

Token = str | bytes
Script = Mapping[Token, Token]
Matrix = NDArray[np.float32]

END = "<|im_end|>"
SPECIAL = ("<|endoftext|>", "<|im_start|>", END)
WORDS = ("hello", " world", "goodbye", " dog", "tick", " tock")
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{%- for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# The prompt of a chat ends with a line break, so what follows one is the first word of every answer.
HELLO: Script = {
    "\n": "hello",
    "hello": " world",
    " world": END,
    "tick": " tock",
    " tock": "tick",
    "s": " dog",
    " dog": END,
}
GOODBYE: Script = {"\n": "goodbye", "goodbye": " dog", " dog": END}
# Never ends by itself.
ENDLESS: Script = {"\n": "tick", "tick": " tock", " tock": "tick"}
# Two bytes of a three-byte character, then a word: what an untrained model writes.
BROKEN_TEXT: Script = {"\n": b"\xe2", b"\xe2": b"\x82", b"\x82": "hello", "hello": END}

HEADS, KV_HEADS, LAYERS = 4, 2, 2
# With it the scripted token's logit is 20 and the others' a few at most, so greedy and sampled answers agree.
SCALE = 20.0


def write_scripted_model(
    path: Path, script: Script, *, width: int = 128, context: int = 512, template: str = CHAT_TEMPLATE
) -> Path:
    tokens, merges = _vocabulary()
    ids = {token: number for number, token in enumerate(tokens)}
    embedding = _embedding(len(tokens), width)
    writer = GGUFWriter(path, "qwen2")
    _write_shape(writer, width, context)
    _write_tokenizer(writer, tokens, merges, template)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("output.weight", _output(script, ids, embedding))
    for layer in range(LAYERS):
        _write_silent_layer(writer, f"blk.{layer}.", width)
    return _finish(writer, path)


def write_scripted_adapter(
    path: Path, script: Script, changes: Script, *, width: int = 128, architecture: str = "qwen2"
) -> Path:
    """A LoRA that turns `script` into `script | changes`."""
    tokens, _ = _vocabulary()
    ids = {token: number for number, token in enumerate(tokens)}
    embedding = _embedding(len(tokens), width)
    rank = len(changes)
    a = np.stack([embedding[_id(ids, token)] for token in changes])
    b = np.zeros((len(tokens), rank), np.float32)
    for column, (token, successor) in enumerate(changes.items()):
        b[_id(ids, successor), column] += SCALE / np.sqrt(width)
        if token in script:
            b[_id(ids, script[token]), column] -= SCALE / np.sqrt(width)
    writer = GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    writer.add_tensor("output.weight.lora_a", a)
    writer.add_tensor("output.weight.lora_b", b)
    return _finish(writer, path)


def _vocabulary() -> tuple[list[str], list[str]]:
    """All bytes, then the words built up letter by letter, then the special tokens; and the merges that build them."""
    tokens, merges = [_BYTES[byte] for byte in range(256)], []
    for word in WORDS:
        first, *rest = _spelled(word)
        for letter in rest:
            if first + letter not in tokens:
                tokens.append(first + letter)
                merges.append(f"{first} {letter}")
            first += letter
    return [*tokens, *SPECIAL], merges


def _byte_names() -> dict[int, str]:
    """GPT-2's printable stand-ins for all bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


_BYTES = _byte_names()


def _spelled(token: Token) -> Sequence[str]:
    raw = token if isinstance(token, bytes) else token.encode()
    return [_BYTES[byte] for byte in raw]


def _id(ids: Mapping[str, int], token: Token) -> int:
    return ids[token] if isinstance(token, str) and token in SPECIAL else ids["".join(_spelled(token))]


def _embedding(tokens: int, width: int) -> Matrix:
    """Random directions (tokens, width) of length 1: nearly orthogonal, so each token is recognised by its own."""
    directions = np.random.default_rng(0).standard_normal((tokens, width)).astype(np.float32)
    unit: Matrix = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return unit


def _output(script: Script, ids: Mapping[str, int], embedding: Matrix) -> Matrix:
    weights = np.zeros_like(embedding)
    for token, successor in script.items():
        weights[_id(ids, successor)] += embedding[_id(ids, token)]
    scaled: Matrix = weights * np.float32(SCALE / np.sqrt(embedding.shape[1]))
    return scaled


def _write_shape(writer: GGUFWriter, width: int, context: int) -> None:
    writer.add_name("scripted")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_file_type(0)


def _write_tokenizer(writer: GGUFWriter, tokens: list[str], merges: list[str], template: str) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if one in SPECIAL else TokenType.NORMAL for one in tokens])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(SPECIAL[0]))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def _write_silent_layer(writer: GGUFWriter, prefix: str, width: int) -> None:
    kv_width = width // HEADS * KV_HEADS
    for norm in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"{prefix}{norm}.weight", np.ones(width, np.float32))
    for name, out in (("attn_q", width), ("attn_k", kv_width), ("attn_v", kv_width)):
        writer.add_tensor(f"{prefix}{name}.weight", np.zeros((out, width), np.float32))
        writer.add_tensor(f"{prefix}{name}.bias", np.zeros(out, np.float32))
    writer.add_tensor(f"{prefix}attn_output.weight", np.zeros((width, width), np.float32))
    writer.add_tensor(f"{prefix}ffn_gate.weight", np.zeros((2 * width, width), np.float32))
    writer.add_tensor(f"{prefix}ffn_up.weight", np.zeros((2 * width, width), np.float32))
    writer.add_tensor(f"{prefix}ffn_down.weight", np.zeros((width, 2 * width), np.float32))


def _finish(writer: GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
