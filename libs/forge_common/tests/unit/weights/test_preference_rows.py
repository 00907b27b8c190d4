"""Preference pairs as tokens: what is too long loses its oldest turns or is left out whole, and both are counted."""

from __future__ import annotations

import json

import pytest

from forge_common.contracts.dataset import PreferenceRow
from forge_common.contracts.exchange import Message
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.preferences import encode_preferences
from forge_common.weights.rows import RowInvalid, load_preferences
from forge_common.weights.tokenizer import ChatTokenizer

SYSTEM = Message(role="system", content="be brief")
QUESTION = Message(role="user", content="add a and b")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return ChatTokenizer(write_tiny_model(tmp_path_factory.mktemp("tiny")))


def answer(text):
    return Message(role="assistant", content=text)


def talk(turns):
    return [m for i in range(turns) for m in (Message(role="user", content=f"add {i}"), answer(f"plus {i}"))]


def pair(*asked, better="a + b", worse="b"):
    return PreferenceRow(messages=asked, chosen=answer(better), rejected=answer(worse), source="e1")


def text_of(row, tokenizer):
    return tokenizer._tokenizer.decode(row.tokens, skip_special_tokens=False)


def learned(row, tokenizer):
    tokens = [token for token, mask in zip(row.tokens, row.loss_mask, strict=True) if mask]
    return tokenizer._tokenizer.decode(tokens, skip_special_tokens=False)


def test_a_pair_that_fits_is_learned_under_all_that_came_before_it(tokenizer):
    encoded = encode_preferences(
        [pair(SYSTEM, *talk(2), QUESTION)], tokenizer, system_prompt="", max_tokens=256
    )

    ((better, worse),) = encoded.pairs
    assert (encoded.split, encoded.too_long) == (0, 0)
    assert "plus 0" in text_of(better, tokenizer)
    assert learned(better, tokenizer) == "a + b<|im_end|>"
    assert learned(worse, tokenizer) == "b<|im_end|>"


def test_a_pair_that_is_too_long_is_learned_under_the_newest_turns_that_fit(tokenizer):
    encoded = encode_preferences(
        [pair(SYSTEM, *talk(9), QUESTION)], tokenizer, system_prompt="", max_tokens=100
    )

    ((better, worse),) = encoded.pairs
    assert (encoded.split, encoded.too_long) == (1, 0)
    for row in (better, worse):
        text = text_of(row, tokenizer)
        assert text.startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nadd ")
        assert "plus 8" in text
        assert "plus 0" not in text
        assert len(row.tokens) <= 100
    # Both are asked the same.
    asked = text_of(better, tokenizer).removesuffix("a + b<|im_end|>\n")
    assert asked == text_of(worse, tokenizer).removesuffix("b<|im_end|>\n")


def test_one_turn_more_would_not_have_fitted(tokenizer):
    row = pair(SYSTEM, *talk(9), QUESTION)
    ((better, _),) = encode_preferences([row], tokenizer, system_prompt="", max_tokens=100).pairs
    kept = text_of(better, tokenizer).count("plus")

    longer = encode_preferences(
        [pair(SYSTEM, *talk(9)[-2 * kept - 2 :], QUESTION)], tokenizer, system_prompt="", max_tokens=256
    )

    ((better, _),) = longer.pairs
    assert len(better.tokens) > 100


@pytest.mark.parametrize("long", ["better", "worse"])
def test_a_pair_of_which_one_answer_is_too_long_is_left_out_whole_and_counted(tokenizer, long):
    rows = [
        pair(QUESTION),
        pair(QUESTION, **{long: "word " * 200}),
        pair(*talk(9), QUESTION, **{long: "word " * 200}),
    ]

    encoded = encode_preferences(rows, tokenizer, system_prompt="", max_tokens=64)

    assert (len(encoded.pairs), encoded.split, encoded.too_long) == (1, 0, 2)


def test_both_together_are_held_to_what_a_card_takes_at_once(tokenizer):
    row = pair(SYSTEM, *talk(9), QUESTION)

    encoded = encode_preferences([row], tokenizer, system_prompt="", max_tokens=256, max_pair_tokens=150)

    ((better, worse),) = encoded.pairs
    assert encoded.split == 1
    assert len(better.tokens) + len(worse.tokens) <= 150


def test_an_answer_that_is_not_the_assistants_is_refused_with_its_line(tmp_path):
    rows = [pair(QUESTION), pair(QUESTION).model_copy(update={"rejected": QUESTION})]
    path = tmp_path / "preferences.jsonl"
    path.write_text("".join(json.dumps(row.model_dump(mode="json")) + "\n" for row in rows))

    with pytest.raises(RowInvalid, match="line 2 prefers among answers of 'user'"):
        load_preferences(path)
