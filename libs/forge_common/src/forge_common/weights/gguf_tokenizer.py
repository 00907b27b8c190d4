"""A model folder's tokenizer as llama.cpp reads it: byte-level BPE (`gpt2` in its words) or SentencePiece's (`llama`).

Raises ArchitectureUnknown and PiecesInexact for what would come out as other tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from pydantic import JsonValue
from tokenizers import Tokenizer

from forge_common.weights import sentencepieces
from forge_common.weights.architectures import ArchitectureUnknown, word_splitter
from forge_common.weights.tokenizer import (
    ChatTokenizer,
    ModelFolderBroken,
    chat_template,
    read_json,
    token_text,
)

_LOOKS_SPECIAL = re.compile(r"<[|｜].*[|｜]>")
_CONVERSATIONS: tuple[list[dict[str, JsonValue]], ...] = (
    [{"role": "user", "content": "Hello!"}],
    [
        {"role": "user", "content": "  def f(x):"},
        {"role": "assistant", "content": " Spaces first."},
        {"role": "user", "content": "\nAnd again?"},
    ],
)


def check_tokenizer(src: Path) -> None:
    tokenizer = read_json(src / "tokenizer.json")
    if sentencepieces.is_sentencepiece(tokenizer):
        sentencepieces.scores(tokenizer, [])
        _begins_with_space(src, tokenizer)
    else:
        word_splitter(tokenizer)


def add_tokenizer(writer: GGUFWriter, src: Path, vocabulary_size: int) -> None:
    tokenizer, config = read_json(src / "tokenizer.json"), read_json(src / "tokenizer_config.json")
    texts, types = _vocabulary(tokenizer, vocabulary_size)
    if sentencepieces.is_sentencepiece(tokenizer):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores(sentencepieces.scores(tokenizer, texts))
        writer.add_add_space_prefix(_begins_with_space(src, tokenizer))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(word_splitter(tokenizer))
        merges = tokenizer["model"]["merges"]
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_token_list(texts)
    writer.add_token_types(types)
    _add_special(writer, config, {text: i for i, text in enumerate(texts)})
    # Whether a text begins with the start token is the post-processor's business: ask it.
    writer.add_add_bos_token(bool(ChatTokenizer(src).encode("", add_special_tokens=True)))
    writer.add_chat_template(chat_template(src, config))


def _add_special(writer: GGUFWriter, config: Mapping[str, Any], ids: Mapping[str, int]) -> None:
    add = {
        "bos_token": writer.add_bos_token_id,
        "eos_token": writer.add_eos_token_id,
        "pad_token": writer.add_pad_token_id,
        "unk_token": writer.add_unk_token_id,
    }
    for key, add_id in add.items():
        if config.get(key):
            add_id(ids[token_text(config[key])])


def _begins_with_space(src: Path, tokenizer: Mapping[str, Any]) -> bool:
    """Which of llama.cpp's two ways cuts conversations as the model was trained on them."""
    chat = ChatTokenizer(src)
    asked = [chat.apply_chat_template(list(each), add_generation_prompt=True) for each in _CONVERSATIONS]
    for begins in (True, False):
        theirs = Tokenizer.from_str(sentencepieces.as_llama_cpp_cuts(tokenizer, begins_with_space=begins))
        if all(theirs.encode(text, add_special_tokens=False).ids == chat.encode(text) for text in asked):
            return begins
    raise ArchitectureUnknown(
        "the base model's tokenizer puts a space before some words of a conversation alone, which no GGUF can say",
        fix="use a base whose chat template begins with a special token, as Mistral's do with <s>",
    )


def _vocabulary(tokenizer: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    texts = {i: text for text, i in tokenizer["model"]["vocab"].items()}
    texts |= {i: token["content"] for i, token in added.items()}
    if max(texts) >= size:
        raise ModelFolderBroken(f"the tokenizer has {max(texts) + 1} tokens, the model only {size}")
    unknown = tokenizer["model"].get("unk_token")
    has_bytes = bool(tokenizer["model"].get("byte_fallback"))
    types = [_token_type(texts.get(i), added.get(i), unknown, has_bytes=has_bytes) for i in range(size)]
    return [texts.get(i, f"[PAD{i}]") for i in range(size)], types


def _token_type(
    text: str | None, added: dict[str, Any] | None, unknown: str | None, *, has_bytes: bool
) -> int:
    if text is None:
        return int(TokenType.UNUSED)
    if has_bytes and text == unknown:
        return int(TokenType.UNKNOWN)
    if has_bytes and sentencepieces.BYTE.fullmatch(text):
        return int(TokenType.BYTE)
    if added is None:
        return int(TokenType.NORMAL)
    # llama.cpp shows user-defined tokens in answers; some folders forget to call their markers special.
    is_control = added["special"] or _LOOKS_SPECIAL.fullmatch(text)
    return int(TokenType.CONTROL if is_control else TokenType.USER_DEFINED)
