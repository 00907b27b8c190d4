"""What chat completions say, as an exchange keeps it."""

import json
from pathlib import Path
from typing import Any

import pytest

from forge_collector.dialects.dialect import Unreadable
from forge_collector.dialects.openai import ChatCompletions, OpenAI

dialect = ChatCompletions()
RECORDED = Path(__file__).parents[3] / "recorded/openai/v1/chat/completions"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c", "model": "m-1", "choices": choices, **more}).encode() + b"\n\n"


TOOL_STREAM = b"".join(
    [
        chunk({"role": "assistant", "content": None}),
        chunk({"reasoning_content": "thin"}),
        chunk({"content": "I look "}),
        chunk({"reasoning_content": "king"}),
        chunk({"tool_calls": [{"index": 0, "id": "call_a", "function": {"name": "read", "arguments": ""}}]}),
        chunk(
            {"tool_calls": [{"index": 1, "id": "call_b", "function": {"name": "list", "arguments": "{}"}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"path":'}}]}),
        chunk({"content": "naïve 😀"}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"a.py"}'}}]}),
        chunk({}, finish="tool_calls"),
        chunk(None, usage={"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}),
        b"data: [DONE]\n\n",
    ]
)


def read_stream(pieces: list[bytes]) -> Any:
    reader = dialect.reader("text/event-stream; charset=utf-8")
    for piece in pieces:
        reader.feed(piece)
    return reader.answered()


def test_a_stream_with_interleaved_tool_calls_and_thinking_becomes_one_message() -> None:
    answered = read_stream([TOOL_STREAM])

    assert answered.message == {
        "role": "assistant",
        "content": "I look naïve 😀",
        "thinking": "thinking",
        "tool_calls": [
            {
                "id": "call_a",
                "type": "function",
                "function": {"name": "read", "arguments": '{"path":"a.py"}'},
            },
            {"id": "call_b", "type": "function", "function": {"name": "list", "arguments": "{}"}},
        ],
    }
    assert (answered.finish_reason, answered.model, answered.complete) == ("tool_calls", "m-1", True)
    assert answered.usage == {"prompt_tokens": 9, "completion_tokens": 4}


def test_a_stream_that_breaks_off_is_partial_and_keeps_what_came() -> None:
    answered = read_stream([chunk({"content": "half an"})])

    assert (answered.message["content"], answered.complete, answered.finish_reason) == (
        "half an",
        False,
        None,
    )


@pytest.mark.parametrize(
    "end", [b'data: {"choices":[{"ind', b'data: {"error":{"message":"overloaded"}}\n\ndata: [DONE]\n\n']
)
def test_an_event_that_is_torn_or_an_error_makes_the_answer_partial(end: bytes) -> None:
    answered = read_stream([chunk({"content": "half an"}), end])

    assert (answered.message["content"], answered.complete) == ("half an", False)


def test_several_choices_in_one_stream_are_alternatives_and_not_mixed() -> None:
    answered = read_stream([(RECORDED / "n_2.sse").read_bytes()])

    assert answered.message == {"role": "assistant", "content": "Heads."}
    assert answered.alternatives == [{"role": "assistant", "content": "Tails!"}]
    assert (answered.finish_reason, answered.complete) == ("stop", True)


def test_several_choices_of_a_whole_reply_are_alternatives() -> None:
    reader = dialect.reader("application/json")
    reader.feed((RECORDED / "whole.json").read_bytes())

    answered = reader.answered()

    assert answered.message["tool_calls"][0]["function"] == {
        "name": "read_file",
        "arguments": '{"path":"a.py"}',
    }  # type: ignore[index,call-overload]
    assert answered.alternatives == [{"role": "assistant", "content": "I cannot read it."}]
    assert answered.usage == {"prompt_tokens": 86, "completion_tokens": 31, "cached_tokens": 64}


def test_a_stream_without_an_end_mark_is_complete_once_every_choice_is() -> None:
    first, second = (
        chunk({"content": "a"}, "stop"),
        chunk({"content": "b"}).replace(b'"index": 0', b'"index": 1'),
    )

    assert read_stream([first]).complete
    assert not read_stream([first, second]).complete


def test_a_relay_reports_thinking_and_cost() -> None:
    answered = read_stream([(RECORDED / "relay.sse").read_bytes()])

    assert answered.message == {"role": "assistant", "content": "4", "thinking": "Two and two."}
    assert answered.cost_usd == pytest.approx(0.0003624)
    assert answered.usage == {"prompt_tokens": 14, "completion_tokens": 163, "cached_tokens": 0}


@pytest.mark.parametrize("cost", [-1, True, "1", float("inf"), float("nan"), None])
def test_a_cost_that_is_none_is_left_out(cost: object) -> None:
    assert read_stream([chunk(None, usage={"prompt_tokens": 1, "cost": cost})]).cost_usd is None


def test_counts_of_zero_are_unknown_until_the_real_ones_come() -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

    assert read_stream([chunk({"content": "a"}, usage=zero)]).usage == {}
    assert read_stream([chunk(None, usage={"prompt_tokens": 3}), chunk({}, usage=zero)]).usage == {
        "prompt_tokens": 3
    }


@pytest.mark.parametrize("count", [-1, 2**63, 1.5, "7", True])
def test_a_count_that_no_database_keeps_is_left_out(count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 4}

    assert read_stream([chunk(None, usage=usage)]).usage == {"completion_tokens": 4}


def test_tool_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    answered = read_stream(
        [
            chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}),
            chunk({"tool_calls": [{"function": {"arguments": "}"}}]}),
            chunk({"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
        ]
    )

    calls = answered.message["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("a", "{}"), ("b", "{}")]


def test_calls_that_all_have_the_same_index_are_told_apart_by_their_ids() -> None:
    answered = read_stream(
        [
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}),
            chunk({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{"}}]}),
            chunk({"tool_calls": [{"index": 0, "id": "b", "function": {"arguments": "}"}}]}),
        ]
    )

    calls = answered.message["tool_calls"]
    assert [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
        ("a", "f", "{}"),
        ("b", "g", "{}"),
    ]


def test_a_function_call_from_before_there_were_tools_is_a_tool_call_without_an_id() -> None:
    answered = read_stream(
        [
            chunk({"function_call": {"name": "f", "arguments": "{"}}),
            chunk({"function_call": {"arguments": "}"}}),
        ]
    )

    assert answered.message["tool_calls"] == [
        {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]


def test_the_end_mark_ends_the_reader() -> None:
    reader = dialect.reader("text/event-stream")
    reader.feed(TOOL_STREAM[:-14])
    assert not reader.is_done

    reader.feed(TOOL_STREAM[-14:])

    assert reader.is_done


def test_a_whole_reply_is_read() -> None:
    reader = dialect.reader("application/json")
    reply = {
        "model": "m-2",
        "choices": [{"index": 0, "message": {"content": "4"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    for byte in json.dumps(reply).encode():
        reader.feed(bytes([byte]))

    answered = reader.answered()

    assert answered.message == {"role": "assistant", "content": "4"}
    assert (answered.model, answered.finish_reason, answered.complete) == ("m-2", "stop", True)


def test_a_request_keeps_messages_tools_and_sampling_apart() -> None:
    body = {
        "model": "gpt-x",
        "stream": True,
        "temperature": 0.5,
        "response_format": {"type": "json_object"},
        "user": "someone",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, "there"], "unknown": 1},
        ],
    }

    asked = dialect.asked(json.dumps(body).encode())

    assert asked.messages[1] == {
        "role": "user",
        "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}],
    }
    assert asked.sampling == {"temperature": 0.5, "response_format": {"type": "json_object"}}
    assert (asked.model, len(asked.tools or [])) == ("gpt-x", 1)


def test_older_and_newer_names_of_roles_are_those_that_models_know() -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    ]
    body = {"messages": messages, "functions": [{"name": "f", "parameters": {}}]}

    asked = dialect.asked(json.dumps(body).encode())

    assert [message["role"] for message in asked.messages] == ["system", "assistant", "tool"]
    assert asked.messages[1]["tool_calls"] == [
        {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert asked.tools == [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def test_the_bytes_of_images_sounds_and_files_are_left_out_and_addresses_stay() -> None:
    parts = [
        {"type": "text", "text": "data:text/plain;base64,aGk="},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
    ]

    asked = dialect.asked(json.dumps({"messages": [{"role": "user", "content": parts}]}).encode())

    assert asked.messages[0]["content"] == [
        parts[0],
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,<8 characters left out>", "detail": "low"},
        },
        parts[2],
        {"type": "input_audio", "input_audio": {"data": "<8 characters left out>", "format": "wav"}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,<8 characters left out>", "filename": "a.pdf"},
        },
    ]


def test_an_error_that_comes_with_status_200_is_kept_as_partial() -> None:
    reader = dialect.reader("application/json")
    reader.feed(b'{"error":{"message":"Provider returned error","code":502}}')

    answered = reader.answered()

    assert (answered.message["content"], answered.complete) == (None, False)


def test_lone_surrogates_are_replaced_and_pairs_are_kept() -> None:
    body = rb'{"messages":[{"role":"user","content":"bad \ud800 good \ud83d\ude00"}]}'

    assert dialect.asked(body).messages[0]["content"] == "bad � good 😀"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"{}", b'{"messages":[]}', b'{"messages":"x"}', b"\xff\xfe"]
)
def test_what_is_no_request_is_unreadable_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(Unreadable):
        dialect.asked(body)


@pytest.mark.parametrize(
    ("method", "path", "captured"),
    [
        ("POST", "/v1/chat/completions", True),
        ("GET", "/v1/chat/completions", False),
        ("POST", "/v1/responses", True),
        ("GET", "/v1/responses", False),
        ("POST", "/v1/responses/resp_1/cancel", False),
        ("POST", "/v1/completions", True),
        ("POST", "/v1/embeddings", False),
        ("GET", "/v1/models", False),
    ],
)
def test_only_what_a_model_answers_is_an_exchange(method: str, path: str, captured: bool) -> None:
    assert (OpenAI().form(method, path) is not None) is captured
