"""A tokenizer of SentencePiece's kind, learned in a moment and without its library: for tests of what reads such folders."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any, Literal

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

Prefix = Literal["prepend", "always", "first", "never"]
"""Where a space is put: by a normalizer, as older folders have it, or by a step's scheme."""

# Mistral's first in short: its markers are no special tokens.
TEMPLATE = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == "system" %}{{- '[SYS] ' + message.content + ' [/SYS]' }}
    {%- elif message.role == "user" %}{{- '[INST] ' + message.content + ' [/INST]' }}
    {%- else %}{{- ' ' + message.content + eos_token }}
    {%- endif %}
{%- endfor %}
"""
PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}


def tokenizer(prefix: Prefix, text: list[str]) -> Tokenizer:
    """With every merge that its pieces allow, as conversions from `tokenizer.model` have them."""
    return Tokenizer.from_str(json.dumps(_written(prefix, text)))


def _written(prefix: Prefix, text: list[str]) -> dict[str, Any]:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=150, show_progress=False)
    learner.train_from_iterator([*text * 3, TEMPLATE, "  " * 8, "é ü ß 数 x" * 3], trainer)
    learned = sorted(learner.get_vocab().items(), key=itemgetter(1))
    vocabulary = {piece: i for i, piece in enumerate([*PIECES, *(piece for piece, _ in learned)])}
    to_space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepend = {"type": "Prepend", "prepend": "▁"}
    step = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": prefix, "split": False}
    is_old = prefix == "prepend"
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(i, text) for i, text in enumerate(PIECES[:3])],
        "normalizer": {"type": "Sequence", "normalizers": [prepend, to_space]} if is_old else None,
        "pre_tokenizer": None if is_old else step,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocabulary,
            "merges": [pair for piece, _ in learned for pair in _halves(piece, vocabulary)],
        },
    }


def _halves(piece: str, vocabulary: dict[str, int]) -> list[list[str]]:
    pairs = [[piece[:at], piece[at:]] for at in range(1, len(piece))]
    return [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]


def _added(number: int, text: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": text, "special": True} | flags
