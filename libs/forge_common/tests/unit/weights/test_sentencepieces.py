"""SentencePiece's tokenizers: what is written of them, how conversations are cut, what is refused."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from gguf import GGUFReader

from forge_common.contracts.exchange import Message
from forge_common.testing.sentencepieces import Prefix
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.architectures import ArchitectureUnknown
from forge_common.weights.gguf_writer import check_exportable, write_base
from forge_common.weights.rows import encode_row
from forge_common.weights.sentencepieces import PiecesInexact, is_sentencepiece, scores
from forge_common.weights.tokenizer import ChatTokenizer

CHAT = [
    Message(role="user", content="Write a function."),
    Message(role="assistant", content="def add(a, b):\n    return a + b"),
    Message(role="user", content=" Thanks, 数!"),
    Message(role="assistant", content="  Gladly."),
]


@pytest.fixture(params=get_args(Prefix))
def base(request, tmp_path):
    return write_tiny_model(tmp_path / request.param, "mistral", pieces=request.param)


def edit(base, change):
    path = base / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    change(tokenizer)
    path.write_text(json.dumps(tokenizer))


def test_a_conversation_cut_at_its_answers_has_the_tokens_of_the_whole(base):
    tokenizer = ChatTokenizer(base)
    text = tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in CHAT])

    row = encode_row(CHAT, tokenizer)

    assert list(row.tokens) == tokenizer.encode(text)
    learned = [token for token, flag in zip(row.tokens, row.loss_mask, strict=True) if flag]
    assert learned.count(2) == 2
    assert "def add(a, b):\n    return a + b" in tokenizer.decode(learned)


def test_what_continues_a_text_gets_no_space_and_what_follows_a_special_token_is_cut_anew(tmp_path):
    tokenizer = ChatTokenizer(write_tiny_model(tmp_path, "llama", pieces="prepend"))

    for before, after in (("[INST] a", " b</s>c"), ("x</s>", "[INST]"), ("x", "y"), ("", "z"), ("a", "</s>")):
        assert tokenizer.encode(before) + tokenizer.encode_after(before, after) == tokenizer.encode(
            before + after
        )


def test_scores_types_and_the_start_token_are_written(tmp_path):
    base = write_tiny_model(tmp_path / "base", "mistral", pieces="prepend")

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    fields = GGUFReader(tmp_path / "base.gguf").fields
    said = {key.removeprefix("tokenizer.ggml."): field.contents() for key, field in fields.items()}
    assert (said["model"], said["add_space_prefix"]) == ("llama", True)
    assert (said["bos_token_id"], said["eos_token_id"], said["unknown_token_id"]) == (1, 2, 0)
    assert said["token_type"][:4] == [2, 3, 3, 6]
    assert said["token_type"][-1] == 5
    merges = json.loads((base / "tokenizer.json").read_text())["model"]["merges"]
    score = dict(zip(said["tokens"], said["scores"], strict=True))
    made = [score["".join(pair)] for pair in merges]
    assert made == sorted(made, reverse=True)
    assert min(made) > score["a"]


def test_mistrals_marks_are_control_tokens_and_one_token_each_in_a_conversation(tmp_path):
    base = write_tiny_model(tmp_path / "base", "mistral", pieces="prepend")
    marks = ("[INST]", "[/INST]", "[TOOL_CALLS]")
    first = len(json.loads((base / "tokenizer.json").read_text())["model"]["vocab"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": first + i, "content": mark, **flags} for i, mark in enumerate(marks)]
    edit(base, lambda tokenizer: tokenizer["added_tokens"].extend(added))

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    fields = GGUFReader(tmp_path / "base.gguf").fields
    texts, types = (fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type"))
    assert texts[first : first + 3] == list(marks)
    assert types[first : first + 3] == [3, 3, 3]
    row = encode_row(CHAT, ChatTokenizer(base))
    assert [token for token in row.tokens if token >= first] == [first, first + 1] * 2
    assert not any(row.loss_mask[i] for i, token in enumerate(row.tokens) if token >= first)


def test_a_tokenizer_of_any_prefix_is_known_before_training(base):
    check_exportable(base)

    assert is_sentencepiece(json.loads((base / "tokenizer.json").read_text()))


def test_merges_that_no_scores_can_say_are_refused_before_training(tmp_path):
    base = write_tiny_model(tmp_path, "mistral", pieces="prepend")

    edit(base, lambda tokenizer: tokenizer["model"]["merges"].pop())

    with pytest.raises(PiecesInexact, match="is not merged from"):
        check_exportable(base)


def test_a_token_merged_at_two_times_is_refused(tmp_path):
    base = write_tiny_model(tmp_path, "mistral", pieces="prepend")
    edit(base, lambda tokenizer: tokenizer["model"]["merges"].append(tokenizer["model"]["merges"][0]))

    with pytest.raises(PiecesInexact, match="two places"):
        scores(json.loads((base / "tokenizer.json").read_text()), [])


def test_a_space_that_depends_on_the_place_is_refused_where_no_gguf_can_say_it(tmp_path):
    base = write_tiny_model(tmp_path, "mistral", pieces="first")
    template = base / "chat_template.jinja"
    # Text first, then a special token in the middle.
    template.write_text("Chat:{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}")

    with pytest.raises(ArchitectureUnknown, match="alone, which no GGUF can say"):
        check_exportable(base)


def test_another_cutting_into_words_is_not_taken_for_it(tmp_path):
    base = write_tiny_model(tmp_path, "mistral", pieces="first")
    edit(base, lambda tokenizer: tokenizer["pre_tokenizer"].update(split=True))

    with pytest.raises(ArchitectureUnknown, match="of a kind that cannot be written"):
        check_exportable(base)
