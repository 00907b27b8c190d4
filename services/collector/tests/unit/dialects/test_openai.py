"""What OpenAI's wire says, as an exchange keeps it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_collector.dialects.dialect import Unreadable
from forge_collector.dialects.openai import ChatCompletions, OpenAI

dialect = ChatCompletions()


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


@given(places=st.lists(st.integers(0, len(TOOL_STREAM)), max_size=30))
def test_any_split_of_the_stream_gives_the_same_answer(places: list[int]) -> None:
    borders = [0, *sorted(places), len(TOOL_STREAM)]

    pieces = [TOOL_STREAM[a:b] for a, b in itertools.pairwise(borders)]

    assert read_stream(pieces) == read_stream([TOOL_STREAM])


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


def test_other_choices_are_not_mixed_into_the_first() -> None:
    other = b'data: {"choices":[{"index":1,"delta":{"content":"NO"}}]}\n\n'

    assert read_stream([chunk({"content": "yes"}), other]).message["content"] == "yes"


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
    assert (asked.model, asked.is_stream, len(asked.tools or [])) == ("gpt-x", True, 1)


def test_lone_surrogates_are_replaced_and_pairs_are_kept() -> None:
    body = rb'{"messages":[{"role":"user","content":"bad \ud800 good \ud83d\ude00"}]}'

    assert dialect.asked(body).messages[0]["content"] == "bad � good 😀"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"{}", b'{"messages":[]}', b'{"messages":"x"}', b"\xff\xfe"]
)
def test_what_is_no_request_is_unreadable_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(Unreadable):
        dialect.asked(body)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_unreadable(data: bytes) -> None:
    for content_type in ("text/event-stream", "application/json"):
        reader = dialect.reader(content_type)
        try:
            reader.feed(b"data: " + data + b"\n\n" if "event" in content_type else data)
            reader.answered()
        except Unreadable:
            continue


@pytest.mark.parametrize(
    ("method", "path", "captured"),
    [
        ("POST", "/v1/chat/completions", True),
        ("GET", "/v1/chat/completions", False),
        ("POST", "/v1/embeddings", False),
    ],
)
def test_only_chat_completions_are_exchanges(method: str, path: str, captured: bool) -> None:
    assert (OpenAI().form(method, path) is not None) is captured
