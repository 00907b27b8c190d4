"""Rows as tokens, and the mask over what the assistant wrote, checked by hand."""

from __future__ import annotations

import json

import pytest

from forge_common.contracts.dataset import DatasetRow
from forge_common.contracts.exchange import Message
from forge_common.errors import Invalid
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.rows import (
    RowInvalid,
    TokenRow,
    as_chat,
    encode_row,
    encode_rows,
    load_rows,
    some,
    turns,
    with_system_prompt,
)
from forge_common.weights.tokenizer import ChatTokenizer, TokenizerUnusable

USER = Message(role="user", content="add a and b")
ANSWER = Message(role="assistant", content="return a + b")
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1}'},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokenizer(model):
    return ChatTokenizer(model)


def trained_text(row, tokenizer):
    """Every trained-on stretch, special tokens included."""
    pieces, current = [], []
    for token, is_trained in [*zip(row.tokens, row.loss_mask, strict=True), (None, False)]:
        if is_trained:
            current.append(token)
        elif current:
            pieces.append(tokenizer._tokenizer.decode(current, skip_special_tokens=False))
            current = []
    return pieces


def test_only_the_answer_and_its_end_token_are_trained_on(tokenizer):
    row = encode_row([USER, ANSWER], tokenizer)

    assert trained_text(row, tokenizer) == ["return a + b<|im_end|>"]
    assert tokenizer._tokenizer.decode(row.tokens, skip_special_tokens=False) == (
        "<|im_start|>user\nadd a and b<|im_end|>\n<|im_start|>assistant\nreturn a + b<|im_end|>\n"
    )


def test_every_answer_of_a_longer_conversation_is_trained_on(tokenizer):
    row = encode_row([USER, ANSWER, Message(role="user", content="and c"), ANSWER], tokenizer)

    assert trained_text(row, tokenizer) == ["return a + b<|im_end|>"] * 2


def test_an_answer_of_weight_0_is_context_and_not_trained_on(tokenizer):
    shown = Message(role="assistant", content="no idea", weight=0)

    row = encode_row([USER, shown, USER, ANSWER], tokenizer)

    assert trained_text(row, tokenizer) == ["return a + b<|im_end|>"]
    assert "no idea" in tokenizer._tokenizer.decode(row.tokens)


def test_tool_calls_are_trained_on_and_their_results_are_not(tokenizer):
    messages = [
        USER,
        Message(role="assistant", content=None, tool_calls=(CALL,)),
        Message(role="tool", content="3", tool_call_id="call_1"),
        ANSWER,
    ]

    first, last = trained_text(encode_row(messages, tokenizer), tokenizer)

    assert first == '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>'
    assert last == "return a + b<|im_end|>"


def test_the_prompt_is_cut_into_tokens_exactly_as_when_the_model_is_asked(tokenizer):
    # A leading line break would melt into the one before it if the text were cut as a whole.
    answer = Message(role="assistant", content="\n\nreturn a")

    row = encode_row([USER, answer], tokenizer)

    asked = tokenizer.prompt([as_chat(USER)])
    assert list(row.tokens[: len(asked)]) == asked
    assert not any(row.loss_mask[: len(asked)])
    assert row.loss_mask[len(asked)]


def test_a_template_with_generation_marks_gives_the_same_row(model, tokenizer, tmp_path):
    marked = write_tiny_model(tmp_path / "marked")
    (marked / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
        "{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )

    assert encode_row([USER, ANSWER], ChatTokenizer(marked)) == encode_row([USER, ANSWER], tokenizer)


def test_an_answer_that_the_template_later_shortens_is_trained_on_only_while_whole(tmp_path):
    folder = write_tiny_model(tmp_path / "thinking")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
        "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
        "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    tokenizer = ChatTokenizer(folder)
    thinking = Message(role="assistant", content="hm</think>yes")

    row = encode_row([USER, thinking, USER, thinking], tokenizer)

    assert trained_text(row, tokenizer) == ["hm</think>yes<|im_end|>"]


def test_a_template_that_shows_no_answer_is_refused(tmp_path):
    folder = write_tiny_model(tmp_path / "silent")
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")

    with pytest.raises(RowInvalid, match="nothing that the assistant wrote"):
        encode_row([USER, ANSWER], ChatTokenizer(folder))


def test_a_tokenizer_that_cannot_be_read_says_so(tmp_path):
    folder = write_tiny_model(tmp_path / "cut")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text()[:-20])

    with pytest.raises(TokenizerUnusable, match=r"tokenizer\.json of cut cannot be read"):
        ChatTokenizer(folder)


def test_a_template_that_refuses_the_conversation_says_why(tmp_path):
    folder = write_tiny_model(tmp_path / "strict")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")

    with pytest.raises(Invalid, match="roles must alternate"):
        encode_row([USER, ANSWER], ChatTokenizer(folder))


def test_rows_that_are_too_long_are_left_out_whole_and_counted(tokenizer):
    short = DatasetRow(messages=(USER, ANSWER), source="e1")
    long = DatasetRow(messages=(USER, Message(role="assistant", content="word " * 200)), source="e2")

    encoded = encode_rows([short, long, short], tokenizer, system_prompt="", max_tokens=64)

    assert (len(encoded.rows), encoded.too_long) == (2, 1)
    assert all(len(row.tokens) <= 64 for row in encoded.rows)


def test_a_conversation_that_is_too_long_is_split_between_turns_and_every_answer_is_learned_once(tokenizer):
    system = Message(role="system", content="be brief")
    talk = [
        message
        for i in range(9)
        for message in (
            Message(role="user", content=f"add {i}"),
            Message(role="assistant", content=f"plus {i}"),
        )
    ]
    row = DatasetRow(messages=(system, *talk), source="e1")

    encoded = encode_rows([row], tokenizer, system_prompt="", max_tokens=80)

    assert (encoded.split, encoded.too_long) == (1, 0)
    assert len(encoded.rows) > 2
    texts = [tokenizer._tokenizer.decode(each.tokens, skip_special_tokens=False) for each in encoded.rows]
    assert all(text.startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user") for text in texts)
    assert all(len(each.tokens) <= 80 for each in encoded.rows)
    learned = [piece for each in encoded.rows for piece in trained_text(each, tokenizer)]
    assert learned == [f"plus {i}<|im_end|>" for i in range(9)]


def test_a_turn_that_is_too_long_costs_only_itself(tokenizer):
    giant = [Message(role="user", content="more"), Message(role="assistant", content="word " * 200)]
    row = DatasetRow(messages=(USER, ANSWER, *giant, USER, ANSWER), source="e1")

    encoded = encode_rows([row], tokenizer, system_prompt="", max_tokens=64)

    assert (encoded.split, encoded.too_long) == (1, 1)
    learned = [piece for each in encoded.rows for piece in trained_text(each, tokenizer)]
    assert learned == ["return a + b<|im_end|>"] * 2


def test_a_turn_holds_the_calls_and_results_that_led_to_its_answer():
    call = Message(role="assistant", content=None, tool_calls=(CALL,))
    result = Message(role="tool", content="3", tool_call_id="call_1")

    assert turns([USER, call, result, ANSWER, USER, USER, ANSWER]) == [
        [USER, call, result, ANSWER],
        [USER, USER, ANSWER],
    ]


def test_the_tools_on_offer_stand_in_the_prompt_and_are_not_trained_on(tmp_path):
    folder = write_tiny_model(tmp_path / "tools")
    (folder / "chat_template.jinja").write_text(
        "{% if tools %}{{ '<|im_start|>system\n' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
        "{{ '<|im_end|>\n' }}{% endif %}"
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    tokenizer = ChatTokenizer(folder)
    tool = {"type": "function", "function": {"name": "add"}}

    row = encode_row([USER, ANSWER], tokenizer, [tool])

    text = tokenizer._tokenizer.decode(row.tokens, skip_special_tokens=False)
    assert text.startswith('<|im_start|>system\n{"type": "function", "function": {"name": "add"}}<|im_end|>')
    assert trained_text(row, tokenizer) == ["return a + b<|im_end|>"]


def test_of_more_tools_than_fit_those_that_were_called_stay(tmp_path):
    folder = write_tiny_model(tmp_path / "tools")
    (folder / "chat_template.jinja").write_text(
        "{% for tool in tools or [] %}{{ tool.function.name + ' ' }}{% endfor %}"
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content or m.tool_calls[0].function.name }}"
        "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    tokenizer = ChatTokenizer(folder)
    offered = [{"type": "function", "function": {"name": name}} for name in ("add", *["other"] * 99)]
    call = Message(role="assistant", content=None, tool_calls=(CALL,))

    encoded = encode_rows(
        [DatasetRow(messages=(USER, call), source="e", tools=tuple(offered))],
        tokenizer,
        system_prompt="",
        max_tokens=64,
    )

    (row,) = encoded.rows
    assert tokenizer._tokenizer.decode(row.tokens).startswith("add user")


def test_the_domains_system_prompt_is_put_in_front_unless_there_is_one():
    own = Message(role="system", content="mine")

    assert with_system_prompt([USER], "be brief") == (Message(role="system", content="be brief"), USER)
    assert with_system_prompt([own, USER], "be brief") == (own, USER)
    assert with_system_prompt([USER], "") == (USER,)


def test_text_parts_become_text_and_arguments_that_are_no_json_stay(tokenizer):
    parts = Message(role="user", content=({"type": "text", "text": "one"}, {"type": "text", "text": "two"}))
    broken = {"type": "function", "function": {"name": "f", "arguments": "{oops"}}

    assert as_chat(parts)["content"] == "one\n\ntwo"
    assert as_chat(Message(role="assistant", tool_calls=(broken,)))["tool_calls"] == [broken]


def test_rows_are_read_from_json_lines(tmp_path):
    path = tmp_path / "train.jsonl"
    row = DatasetRow(messages=(USER, ANSWER), source="e1")
    path.write_text(row.model_dump_json() + "\n\n" + row.model_dump_json() + "\n")

    assert load_rows(path) == [row, row]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2"),
        (json.dumps({"messages": [{"role": "user", "content": "x"}], "source": "e"}), "messages"),
        (json.dumps({"messages": [{"role": "user", "content": "x"}] * 2, "source": "e"}), "ends with 'user'"),
    ],
)
def test_a_broken_line_is_refused_with_its_number(tmp_path, line, reason):
    path = tmp_path / "train.jsonl"
    path.write_text(DatasetRow(messages=(USER, ANSWER), source="e").model_dump_json() + "\n" + line + "\n")

    with pytest.raises(RowInvalid, match=reason) as caught:
        load_rows(path)

    assert "line 2" in str(caught.value)


def test_the_end_tokens_are_the_tokenizers_own_and_the_generation_configs(model, tmp_path):
    folder = write_tiny_model(tmp_path / "two")
    (folder / "generation_config.json").write_text('{"eos_token_id": [3, 4]}')

    ids = ChatTokenizer(folder)._tokenizer.get_vocab()

    assert ChatTokenizer(model).stop_ids == {ids["<|im_end|>"]}
    assert ChatTokenizer(folder).stop_ids == {3, 4, ids["<|im_end|>"]}


@pytest.mark.parametrize("missing", ["tokenizer.json", "chat_template.jinja"])
def test_a_folder_without_fast_tokenizer_or_template_is_refused(tmp_path, missing):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / missing).unlink()

    with pytest.raises(TokenizerUnusable):
        ChatTokenizer(folder)


def test_validation_takes_evenly_spread_rows_when_there_are_many():
    rows = [TokenRow((i, 1), (False, True)) for i in range(1000)]

    kept = [row.tokens[0] for row in some(rows)]

    assert kept == list(range(0, 1000, 4))
    assert some(rows[:256]) == rows[:256]
