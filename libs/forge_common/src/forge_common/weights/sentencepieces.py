"""SentencePiece's tokenizers as `tokenizer.json` has them: Llama 2's and Mistral's before Tekken. Reads no `tokenizer.model`.

Their merges, a list of pairs, go to llama.cpp as one score for each token; a list that no scores can say is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from forge_common.errors import Invalid

SPACE = "▁"
BYTE = re.compile(r"<0x[0-9A-F]{2}>")

Prefix = Literal["always", "first", "never"]
"""Before which stretches of text between special tokens a space is put: each one, only one that begins the text, none."""

_TO_SPACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


class PiecesInexact(Invalid):
    """llama.cpp would cut some texts into other tokens."""


def is_sentencepiece(tokenizer: Mapping[str, Any]) -> bool:
    """`tokenizer` is the whole of a `tokenizer.json`."""
    model = tokenizer.get("model", {})
    return model.get("type") == "BPE" and bool(model.get("byte_fallback")) and _cut(tokenizer) is not None


def prefix(tokenizer: Mapping[str, Any]) -> Prefix:
    found = _cut(tokenizer)
    assert found is not None, "ask is_sentencepiece first"
    return found


def without_prefix(tokenizer: Mapping[str, Any]) -> str | None:
    """The same `tokenizer.json` for what continues a text; None where no space is put anywhere."""
    if not is_sentencepiece(tokenizer) or prefix(tokenizer) == "never":
        return None
    return as_llama_cpp_cuts(tokenizer, begins_with_space=False)


def as_llama_cpp_cuts(tokenizer: Mapping[str, Any], *, begins_with_space: bool) -> str:
    """It puts a space before every stretch between special tokens, even before one that has its own; or before none."""
    steps = [{"type": "Prepend", "prepend": SPACE}, _TO_SPACE] if begins_with_space else [_TO_SPACE]
    normalizer = {"type": "Sequence", "normalizers": steps}
    return json.dumps({**tokenizer, "normalizer": normalizer, "pre_tokenizer": None})


def scores(tokenizer: Mapping[str, Any], texts: Sequence[str]) -> list[float]:
    """One for each of `texts`, the vocabulary in order: the earlier a token is merged, the higher. Raises PiecesInexact."""
    order = _order(tokenizer)
    # Never merged into: single characters, bytes, special tokens.
    return [-float(order.get(text, len(order))) for text in texts]


def _order(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """When each token is merged. llama.cpp looks up any two neighbours, so every way to make a token has to be a merge."""
    model = tokenizer["model"]
    pairs = [tuple(each.split(" ")) if isinstance(each, str) else tuple(each) for each in model["merges"]]
    order: dict[str, int] = {}
    last = None
    for left, right in pairs:
        made = left + right
        if made != last and made in order:
            raise _inexact(made, "is merged in two places of the list")
        order.setdefault(made, len(order))
        last = made
    _check_complete(tokenizer, {(left, right) for left, right in pairs})
    return order


def _check_complete(tokenizer: Mapping[str, Any], pairs: set[tuple[str, str]]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    for text in vocabulary:
        if text in special or BYTE.fullmatch(text):
            continue
        for at in range(1, len(text)):
            halves = text[:at], text[at:]
            if halves not in pairs and halves[0] in vocabulary and halves[1] in vocabulary:
                raise _inexact(text, f"is not merged from {halves[0]!r} and {halves[1]!r}")


def _inexact(text: str, why: str) -> PiecesInexact:
    return PiecesInexact(
        f"the base model's tokenizer cannot be written as GGUF exactly: {text!r} {why}",
        fix="use a base whose tokenizer.json was made from SentencePiece's own tokenizer.model",
    )


def _cut(tokenizer: Mapping[str, Any]) -> Prefix | None:
    """None for anything but spaces turned into `▁`, with one before the text or not."""
    normalizer, step = tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")
    if step is None and normalizer is not None:
        return _normalized(normalizer)
    if normalizer is not None or step is None or step.get("type") != "Metaspace":
        return None
    if step.get("replacement") != SPACE or step.get("split", True):
        return None
    # Before there were schemes there was a switch.
    scheme = step.get("prepend_scheme") or ("always" if step.get("add_prefix_space", True) else "never")
    schemes: dict[str, Prefix] = {"always": "always", "first": "first", "never": "never"}
    return schemes.get(scheme)


def _normalized(normalizer: Mapping[str, Any]) -> Prefix | None:
    steps = list(normalizer.get("normalizers", [normalizer]))
    if steps == [_TO_SPACE]:
        return "never"
    return "always" if steps == [{"type": "Prepend", "prepend": SPACE}, _TO_SPACE] else None
