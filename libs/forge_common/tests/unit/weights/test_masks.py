"""Loss masks, token by token, against masks made by hand, for chat templates in the styles of Qwen2, Qwen3 and Llama 3.

The templates are this file's own. `LEARNED` marks what the assistant wrote; everything else is only read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from forge_common.contracts.exchange import Message
from forge_common.testing.tiny_model import LLAMA_WORDS, QWEN_WORDS
from forge_common.weights.rows import as_chat, encode_row
from forge_common.weights.tokenizer import ChatTokenizer

LEARNED, READ = True, False

SPECIAL = {
    "chatml": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama3": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
}
WORDS = {"chatml": QWEN_WORDS, "llama3": LLAMA_WORDS}
CALLS = """{%- for call in m.tool_calls or [] -%}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' -}}
{{- call.function.arguments | tojson + '}\\n</tool_call>' -}}
{%- endfor -%}"""
RESULTS = """{%- if loop.previtem is not defined or loop.previtem.role != 'tool' %}{{ '<|im_start|>user' }}{% endif -%}
{{- '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' -}}
{%- if loop.last or loop.nextitem.role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif -%}"""
# A system turn always, with a default text; tools in it.
QWEN2 = (
    """{%- if messages[0].role == 'system' -%}
{%- set opening, talk = messages[0].content, messages[1:] -%}
{%- else -%}
{%- set opening, talk = 'You are helpful.', messages -%}
{%- endif -%}
{{- '<|im_start|>system\\n' + opening -}}
{%- for tool in tools or [] %}{{ '\\n' + tool | tojson }}{% endfor -%}
{{- '<|im_end|>\\n' -}}
{%- for m in talk -%}
{%- if m.role == 'tool' -%}"""
    + RESULTS
    + """{%- elif m.role == 'assistant' -%}
{{- '<|im_start|>assistant' -}}
{%- if m.content %}{{ '\\n' + m.content }}{% endif -%}"""
    + CALLS
    + """{{- '<|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}"""
)
# No default system turn; thoughts are shown only since the user's last question.
QWEN3 = (
    """{%- set last = namespace(question=-1) -%}
{%- for m in messages %}{% if m.role == 'user' %}{% set last.question = loop.index0 %}{% endif %}{% endfor -%}
{%- for m in messages -%}
{%- if m.role == 'tool' -%}"""
    + RESULTS
    + """{%- elif m.role == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if loop.index0 > last.question and (loop.last or m.reasoning_content) -%}
{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' -}}
{%- endif -%}
{{- m.content -}}"""
    + CALLS
    + """{{- '<|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}"""
)
# Headers, trimmed content, tools in the first question, calls as bare JSON, results from `ipython`.
LLAMA3 = """{%- set ns = namespace(first=true) -%}
{{- '<|begin_of_text|>' -}}
{%- for m in messages -%}
{%- set role = 'ipython' if m.role == 'tool' else m.role -%}
{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' -}}
{%- if m.role == 'user' and ns.first -%}
{%- for tool in tools or [] %}{{ tool | tojson + '\\n\\n' }}{% endfor -%}
{%- set ns.first = false -%}
{%- endif -%}
{%- if m.tool_calls -%}
{%- set call = m.tool_calls[0].function -%}
{{- '{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson + '}' -}}
{%- else -%}
{{- m.content | trim -}}
{%- endif -%}
{{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif -%}"""
STYLES = {"qwen2": (QWEN2, "chatml"), "qwen3": (QWEN3, "chatml"), "llama3": (LLAMA3, "llama3")}

TOOL = {"type": "function", "function": {"name": "add"}}
TOOL_TEXT = '{"type": "function", "function": {"name": "add"}}'
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def system(text: str) -> Message:
    return Message(role="system", content=text)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def said(text: str, thinking: str | None = None, weight: int | None = None) -> Message:
    return Message(role="assistant", content=text, thinking=thinking, weight=weight)


def called(thinking: str | None = None) -> Message:
    return Message(role="assistant", content=None, tool_calls=(CALL,), thinking=thinking)


def result(text: str) -> Message:
    return Message(role="tool", content=text, tool_call_id="c1")


class Case(NamedTuple):
    """`text` is the whole conversation, in pieces that alternate between what is read and what is learned."""

    style: str
    messages: list[Message]
    text: list[tuple[str, bool]]
    tools: list[dict] | None = None


CASES = {
    "qwen2, one turn under the default system prompt": Case(
        "qwen2",
        [user("add one"), said("so be it")],
        [
            (
                (
                    "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nadd one<|im_end|>\n"
                    "<|im_start|>assistant\n"
                ),
                READ,
            ),
            ("so be it<|im_end|>", LEARNED),
            ("\n", READ),
        ],
    ),
    "qwen2, a system prompt and two turns": Case(
        "qwen2",
        [system("be brief"), user("add one"), said("two"), user("add two"), said("four")],
        [
            (
                "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nadd one<|im_end|>\n<|im_start|>assistant\n",
                READ,
            ),
            ("two<|im_end|>", LEARNED),
            ("\n<|im_start|>user\nadd two<|im_end|>\n<|im_start|>assistant\n", READ),
            ("four<|im_end|>", LEARNED),
            ("\n", READ),
        ],
    ),
    "qwen2, an answer of weight 0": Case(
        "qwen2",
        [system("be brief"), user("add one"), said("nine", weight=0), user("no"), said("two")],
        [
            (
                (
                    "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nadd one<|im_end|>\n"
                    "<|im_start|>assistant\nnine<|im_end|>\n<|im_start|>user\nno<|im_end|>\n<|im_start|>assistant\n"
                ),
                READ,
            ),
            ("two<|im_end|>", LEARNED),
            ("\n", READ),
        ],
    ),
    "qwen2, a tool call, two results and the answer": Case(
        "qwen2",
        [system("be brief"), user("add one"), called(), result("2"), result("3"), said("two")],
        [
            (
                (
                    f"<|im_start|>system\nbe brief\n{TOOL_TEXT}<|im_end|>\n<|im_start|>user\nadd one<|im_end|>\n"
                    "<|im_start|>assistant\n"
                ),
                READ,
            ),
            ('<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>', LEARNED),
            (
                (
                    "\n<|im_start|>user\n<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response>"
                    "<|im_end|>\n<|im_start|>assistant\n"
                ),
                READ,
            ),
            ("two<|im_end|>", LEARNED),
            ("\n", READ),
        ],
        [TOOL],
    ),
    "qwen3, one turn with thoughts": Case(
        "qwen3",
        [user("add one"), said("two", thinking="one and one")],
        [
            ("<|im_start|>user\nadd one<|im_end|>\n<|im_start|>assistant\n", READ),
            ("<think>\none and one\n</think>\n\ntwo<|im_end|>", LEARNED),
            ("\n", READ),
        ],
    ),
    "qwen3, one turn without thoughts": Case(
        "qwen3",
        [system("be brief"), user("add one"), said("two")],
        [
            (
                "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nadd one<|im_end|>\n<|im_start|>assistant\n",
                READ,
            ),
            ("<think>\n\n</think>\n\ntwo<|im_end|>", LEARNED),
            ("\n", READ),
        ],
    ),
    # The first answer is shown without the thoughts that led to it: to learn it so would unlearn thinking.
    "qwen3, thoughts that are dropped from an earlier turn": Case(
        "qwen3",
        [user("add one"), said("two", thinking="hm"), user("add two"), said("four", thinking="so")],
        [
            (
                (
                    "<|im_start|>user\nadd one<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n"
                    "<|im_start|>user\nadd two<|im_end|>\n<|im_start|>assistant\n"
                ),
                READ,
            ),
            ("<think>\nso\n</think>\n\nfour<|im_end|>", LEARNED),
            ("\n", READ),
        ],
    ),
    "qwen3, thoughts before a tool call and after it": Case(
        "qwen3",
        [user("add one"), called(thinking="hm"), result("2"), said("two", thinking="so")],
        [
            ("<|im_start|>user\nadd one<|im_end|>\n<|im_start|>assistant\n", READ),
            (
                '<think>\nhm\n</think>\n\n\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>',
                LEARNED,
            ),
            (
                "\n<|im_start|>user\n<tool_response>\n2\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
                READ,
            ),
            ("<think>\nso\n</think>\n\ntwo<|im_end|>", LEARNED),
            ("\n", READ),
        ],
    ),
    "llama3, one turn": Case(
        "llama3",
        [user("add one"), said(" two ")],
        [
            (
                (
                    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nadd one<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n"
                ),
                READ,
            ),
            ("two<|eot_id|>", LEARNED),
        ],
    ),
    "llama3, a system prompt, two turns and one of weight 0": Case(
        "llama3",
        [
            system("be brief"),
            user("add one"),
            said("two"),
            user("no"),
            said("nine", weight=0),
            user("so"),
            said("four"),
        ],
        [
            (
                (
                    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nbe brief<|eot_id|>"
                    "<|start_header_id|>user<|end_header_id|>\n\nadd one<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n"
                ),
                READ,
            ),
            ("two<|eot_id|>", LEARNED),
            (
                (
                    "<|start_header_id|>user<|end_header_id|>\n\nno<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\nnine<|eot_id|>"
                    "<|start_header_id|>user<|end_header_id|>\n\nso<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n"
                ),
                READ,
            ),
            ("four<|eot_id|>", LEARNED),
        ],
    ),
    "llama3, tools in the first question, a call and its result": Case(
        "llama3",
        [user("add one"), called(), result("2"), said("two")],
        [
            (
                (
                    f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{TOOL_TEXT}\n\nadd one<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n"
                ),
                READ,
            ),
            ('{"name": "add", "parameters": {"a": 1}}<|eot_id|>', LEARNED),
            (
                (
                    "<|start_header_id|>ipython<|end_header_id|>\n\n2<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n"
                ),
                READ,
            ),
            ("two<|eot_id|>", LEARNED),
        ],
        [TOOL],
    ),
}


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> dict[str, ChatTokenizer]:
    folder = tmp_path_factory.mktemp("styles")
    return {style: write_tokenizer(folder / style, *parts) for style, parts in STYLES.items()}


def write_tokenizer(folder: Path, template: str, kind: str) -> ChatTokenizer:
    """Bytes, a few merges that know words and runs of line breaks, and the style's special tokens."""
    folder.mkdir()
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(WORDS[kind]), behavior="isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, in_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(
        ["system user assistant ipython add one two four nine so be it\n\n\n"] * 9, trainer
    )
    tokenizer.add_special_tokens(SPECIAL[kind])
    tokenizer.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": SPECIAL[kind][-1]}))
    (folder / "chat_template.jinja").write_text(template)
    return ChatTokenizer(folder)


def test_every_token_is_learned_or_only_read_as_the_mask_made_by_hand_says(case, tokenizers):
    tokenizer = tokenizers[case.style]

    row = encode_row(case.messages, tokenizer, case.tools)

    by_hand = [(token, learned) for text, learned in case.text for token in tokenizer.encode(text)]
    assert list(zip(row.tokens, row.loss_mask, strict=True)) == by_hand


def test_every_answer_follows_the_very_tokens_that_the_engine_would_feed(case, tokenizers):
    tokenizer = tokenizers[case.style]
    chat = [as_chat(message) for message in case.messages]

    row = encode_row(case.messages, tokenizer, case.tools)

    pairs = zip((False, *row.loss_mask), row.loss_mask, strict=False)
    starts = [place for place, (before, here) in enumerate(pairs) if here and not before]
    asked = [
        tokenizer.encode(
            tokenizer.apply_chat_template(chat[:i], tools=case.tools, add_generation_prompt=True)
        )
        for i, message in enumerate(case.messages)
        if message.role == "assistant"
    ]
    assert starts
    assert all(list(row.tokens[:start]) in asked for start in starts)
    if case.tools is None:
        assert tokenizer.prompt(chat[:-1]) == list(row.tokens[: starts[-1]])


def test_an_end_of_turn_is_one_token_and_stops_the_engine(tokenizers):
    for style, end in (("qwen2", "<|im_end|>"), ("qwen3", "<|im_end|>"), ("llama3", "<|eot_id|>")):
        tokenizer = tokenizers[style]
        row = encode_row([user("add one"), said("two")], tokenizer)

        (learned_last,) = tokenizer.encode(end)
        assert [token for token, here in zip(row.tokens, row.loss_mask, strict=True) if here][
            -1
        ] == learned_last
        assert learned_last in tokenizer.stop_ids
