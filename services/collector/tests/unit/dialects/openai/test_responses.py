"""Responses, as an exchange keeps them."""

import json
from pathlib import Path
from typing import Any

import pytest

from forge_collector.dialects.dialect import Answered, Asked, Unreadable
from forge_collector.dialects.openai.responses import Responses

RECORDED = Path(__file__).parents[3] / "recorded/openai/v1/responses"
THINKING = "**Looking** at the file – naïvely 😀\n\nThen reading it."
TOOL_ANSWER = {
    "role": "assistant",
    "content": "I read the file “a.py”.",
    "thinking": THINKING,
    "tool_calls": [
        {
            "id": "call_x1",
            "type": "function",
            "function": {"name": "read_file", "arguments": '{"path":"a.py"}'},
        },
        {"id": "call_x2", "type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin Patch"}},
    ],
}


def read(name: str, end: int | None = None) -> Answered:
    reader = Responses().reader("text/event-stream" if name.endswith(".sse") else "application/json")
    reader.feed((RECORDED / name).read_bytes()[:end])
    return reader.answered()


def ask(**body: Any) -> Asked:
    return Responses().asked(json.dumps({"model": "gpt-5", **body}).encode())


@pytest.mark.parametrize("name", ["tools.sse", "tools_whole.json", "end_without_output.sse"])
def test_reasoning_text_and_calls_make_one_message(name: str) -> None:
    answered = read(name)

    assert answered.message == TOOL_ANSWER
    assert (answered.finish_reason, answered.complete, answered.model) == (
        "tool_calls",
        True,
        "gpt-5-2025-08-07",
    )
    assert answered.usage == {"prompt_tokens": 328, "completion_tokens": 52, "cached_tokens": 128}
    assert answered.id == "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b"


def test_without_its_last_event_a_stream_is_partial_and_keeps_the_deltas() -> None:
    wire = (RECORDED / "tools.sse").read_bytes()

    end = wire.index(b'"delta":"\\"a.py\\"}"')
    answered = read("tools.sse", end)

    assert answered.message["content"] == "I read the file “a.py”."
    assert answered.message["thinking"] == THINKING
    assert answered.message["tool_calls"] == [
        {"id": "call_x1", "type": "function", "function": {"name": "read_file", "arguments": '{"path":'}}
    ]
    assert (answered.complete, answered.finish_reason) == (False, None)


@pytest.mark.parametrize(
    ("name", "text", "finish_reason", "complete"),
    [
        ("incomplete.sse", "It begins", "length", True),
        ("failed.sse", "half an", None, False),
        ("text_whole.json", "I read the file “a.py”.", "stop", True),
    ],
)
def test_a_status_is_a_finish_reason(name: str, text: str, finish_reason: str | None, complete: bool) -> None:
    answered = read(name)

    assert (answered.message["content"], answered.finish_reason, answered.complete) == (
        text,
        finish_reason,
        complete,
    )


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_a_response_that_is_not_over_is_partial(status: str) -> None:
    reader = Responses().reader("application/json")
    reader.feed(json.dumps({"id": "resp_1", "status": status, "output": []}).encode())

    assert reader.answered().complete is False


def test_an_error_event_makes_the_answer_partial() -> None:
    reader = Responses().reader("text/event-stream")
    for event in (
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "half"},
        {"type": "error", "code": "server_error", "message": "overloaded", "param": None},
    ):
        reader.feed(b"data: " + json.dumps(event).encode() + b"\n\n")

    answered = reader.answered()

    assert (answered.message["content"], answered.complete) == ("half", False)


def test_an_input_of_text_with_instructions_is_a_user_message_behind_a_system_prompt() -> None:
    asked = ask(
        input="hello", instructions="be brief", temperature=0.2, stream=True, user="x", safety_identifier="y"
    )

    assert asked.messages == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    assert (asked.sampling, asked.model) == ({"temperature": 0.2}, "gpt-5")


def test_items_become_the_messages_that_a_chat_would_have() -> None:
    asked = ask(
        input=[
            {"role": "developer", "content": "use tools"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "read it"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Reading."}], "encrypted_content": "gAAA"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I read."}]},
            {"type": "function_call", "call_id": "call_1", "name": "read", "arguments": "{}"},
            {"type": "function_call", "call_id": "call_2", "name": "read", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "text"},
            {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "more"}]},
            {"type": "item_reference", "id": "msg_0"},
            {"role": "user", "content": [{"type": "input_text", "text": "and"}, {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"}]},
        ],
        tools=[{"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": True}, {"type": "web_search"}],
    )  # fmt: skip

    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "read", "arguments": "{}"}}
        for n in (1, 2)
    ]
    assert asked.messages == [
        {"role": "system", "content": "use tools"},
        {"role": "user", "content": "read it"},
        {"role": "assistant", "content": "I read.", "thinking": "Reading.", "tool_calls": calls},
        {"role": "tool", "content": "text", "tool_call_id": "call_1"},
        {"role": "tool", "content": "more", "tool_call_id": "call_2"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,<4 characters left out>", "detail": "auto"},
                },
            ],
        },
    ]
    function = {"name": "read", "parameters": {"type": "object"}, "strict": True}
    assert asked.tools == [{"type": "function", "function": function}, {"type": "web_search"}]


def test_what_was_answered_is_read_the_same_when_it_is_sent_again() -> None:
    output = json.loads((RECORDED / "tools_whole.json").read_bytes())["output"]

    asked = ask(input=[{"role": "user", "content": "read it"}, *output])

    assert asked.messages[1] == read("tools.sse").message


def test_calls_of_kinds_that_chats_do_not_have_keep_what_they_say() -> None:
    asked = ask(
        input=[
            {"role": "user", "content": "list"},
            {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "status": "completed", "action": {"type": "exec", "command": ["ls"]}},
            {"type": "local_shell_call_output", "id": "call_1", "output": '{"stdout":"a.py"}'},
            {"type": "shell_call_output", "call_id": "call_2", "output": [{"stdout": "a.py", "outcome": {"type": "exit"}}]},
        ]
    )  # fmt: skip

    assert asked.messages[1]["tool_calls"] == [
        {
            "id": "call_1",
            "type": "local_shell_call",
            "local_shell_call": {"action": {"type": "exec", "command": ["ls"]}},
        }
    ]
    assert asked.messages[2] == {"role": "tool", "content": '{"stdout":"a.py"}', "tool_call_id": "call_1"}
    assert asked.messages[3]["tool_call_id"] == "call_2"


def test_a_conversation_is_known_by_its_id_or_by_the_answer_that_it_goes_on_from() -> None:
    assert ask(input="x", conversation="conv_1").conversation == "conv_1"
    assert ask(input="x", conversation={"id": "conv_2"}).conversation == "conv_2"
    assert ask(input="x", previous_response_id="resp_1").continues == "resp_1"
    assert ask(input="x", previous_response_id="resp_1").sampling == {"previous_response_id": "resp_1"}


@pytest.mark.parametrize("given", ["mail ann@mail.org", "x" * 200, 7, {"id": None}, ""])
def test_what_is_no_id_names_no_conversation(given: object) -> None:
    assert ask(input="x", conversation=given).conversation is None


@pytest.mark.parametrize(
    "body", [b"{}", b'{"input":[]}', b'{"input":7}', b'{"prompt":{"id":"pmpt_1"}}', b"["]
)
def test_what_is_no_request_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        Responses().asked(body)
