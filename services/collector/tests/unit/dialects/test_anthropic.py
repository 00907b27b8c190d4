"""What Anthropic's wire says, as an exchange keeps it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_collector.curate import Candidate, curate
from forge_collector.dialects.anthropic import Anthropic, Messages
from forge_collector.dialects.dialect import Answered, Asked, Unreadable
from forge_common.contracts.base import ExchangeId, utc_now
from forge_common.contracts.domain import DataRules
from forge_common.contracts.exchange import Exchange, Message
from forge_common.http.proxy import RequestHead

RECORDED = Path(__file__).parents[2] / "recorded" / "anthropic" / "v1" / "messages"
BILLING = "x-anthropic-billing-header: cc_version=2.1.197.0d9; cc_entrypoint=cli; cch=fa690;"
SESSION = "5d0c7c3e-6a55-4f0b-9a52-0f5b6f2a1c11"
form = Messages()


def read(name: str) -> Answered:
    reader = form.reader("text/event-stream" if name.endswith(".sse") else "application/json")
    reader.feed((RECORDED / name).read_bytes())
    return reader.answered()


def asked(**fields: Any) -> Any:
    return form.asked(json.dumps({"model": "claude", "max_tokens": 100, **fields}).encode())


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def call(name: str, arguments: str, id_: str) -> Any:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


TWO_CALLS = [
    call("Read", '{"file_path":"src/größe.py","limit":20}', "toolu_01A"),
    call("Read", '{"file_path":"b.py"}', "toolu_01B"),
]


@pytest.mark.parametrize("name", ["tools_and_thinking.sse", "tools_and_thinking.json"])
def test_thinking_text_and_interleaved_calls_become_one_message(name: str) -> None:
    answered = read(name)

    assert answered.message == {
        "role": "assistant",
        "content": "I read both files.",
        "thinking": "Two files: read both.",
        "tool_calls": TWO_CALLS,
    }
    assert (answered.finish_reason, answered.complete, answered.turns) == ("tool_use", True, [])
    assert answered.model == "claude-sonnet-5"


@pytest.mark.parametrize("suffix", ["sse", "json"])
def test_a_plain_answer_is_read(suffix: str) -> None:
    answered = read(f"text.{suffix}")

    assert str(answered.message["content"]).startswith("Hello! “Naïve” 😀")
    assert set(answered.message) == {"role", "content"}
    assert (answered.finish_reason, answered.complete) == ("end_turn", True)


def test_cached_tokens_count_as_part_of_the_prompt() -> None:
    assert read("tools_and_thinking.sse").usage == {
        "prompt_tokens": 4 + 512 + 18000,
        "completion_tokens": 89,
        "cached_tokens": 18000,
    }


def test_the_stream_is_over_with_its_last_event_and_not_before() -> None:
    stream = (RECORDED / "text.sse").read_bytes()
    reader = form.reader("text/event-stream; charset=utf-8")
    reader.feed(stream[:-1])
    assert not reader.is_done

    reader.feed(stream[-1:])

    assert reader.is_done


def test_an_error_within_the_stream_leaves_a_partial_answer() -> None:
    answered = read("overloaded.sse")

    assert (answered.message["content"], answered.complete) == ("Half an", False)


def test_a_call_that_broke_off_keeps_what_came_of_it() -> None:
    stream = (RECORDED / "tools_and_thinking.sse").read_bytes()
    reader = form.reader("text/event-stream")
    reader.feed(stream[: stream.index(b'"b.py')])

    answered = reader.answered()

    calls: Any = answered.message["tool_calls"]
    assert calls[1]["function"]["arguments"] == '{"file_path": '
    assert answered.complete is False


def test_what_the_vendors_own_tools_found_stands_before_the_answer() -> None:
    answered = read("server_tools.sse")

    assert answered.turns == [
        {
            "role": "assistant",
            "content": "Let me search.",
            "tool_calls": [call("web_search", '{"query":"weather oslo"}', "srvtoolu_01A")],
        },
        {
            "role": "tool",
            "tool_call_id": "srvtoolu_01A",
            "content": [
                {
                    "type": "web_search_result",
                    "title": "Oslo",
                    "url": "https://example.org/oslo",
                    "page_age": None,
                }
            ],
        },
    ]
    assert answered.message == {"role": "assistant", "content": "It is 4 °C in Oslo."}


def test_a_refusal_is_no_answer_to_learn_from() -> None:
    answered = read("refusal.json")

    assert (answered.finish_reason, answered.message["content"]) == ("refusal", None)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"content":"x"}', b'{"type":"error","error":{"type":"x"}}']
)
def test_what_is_no_reply_is_unreadable(body: bytes) -> None:
    reader = form.reader("application/json")
    reader.feed(body)

    with pytest.raises(Unreadable):
        reader.answered()


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["type", "index", "delta", "content_block", "message", "usage", "content", "text", "tool_use_id", "input"]),
    inner | st.sampled_from(["content_block_start", "content_block_delta", "message_start", "message_delta", "text", "tool_use",
                             "text_delta", "thinking", "tool_result"]), max_size=6)))  # fmt: skip
def test_no_json_raises_anything_but_unreadable(value: Any) -> None:
    body = json.dumps(value).encode()
    for read_it in (
        lambda: form.asked(b'{"system":' + body + b',"messages":[{"content":' + body + b"}]}"),
        lambda: form.asked(b'{"tools":[' + body + b'],"metadata":' + body + b',"messages":' + body + b"}"),
        lambda: read_with("application/json", b'{"content":[' + body + b"]}"),
        lambda: read_with("text/event-stream", b"data: " + body + b"\n\n"),
    ):
        try:
            found = read_it()
        except Unreadable:
            continue
        messages = found.messages if isinstance(found, Asked) else [*found.turns, found.message]
        for message in messages:
            Message.model_validate(message)


def read_with(content_type: str, data: bytes) -> Any:
    reader = form.reader(content_type)
    reader.feed(data)
    return reader.answered()


def test_a_request_of_claude_code_is_the_persons_prompt_and_one_system_prompt() -> None:
    request = asked(
        system=[
            {"type": "text", "text": BILLING},
            {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
        ],
        messages=[
            user(
                [
                    {"type": "text", "text": "<system-reminder>\nrules\n</system-reminder>\n"},
                    {"type": "text", "text": "User: say hi", "cache_control": {"type": "ephemeral"}},
                ]
            ),
            {"role": "system", "content": "Be quick."},
        ],
        metadata={"user_id": f"user_{'a1' * 32}_account_b2c3_session_{SESSION}"},
        thinking={"type": "adaptive"},
        context_management={"edits": []},
        stream=True,
    )

    assert request.messages == [
        {"role": "system", "content": "You are an agent.\n\nBe quick."},
        user("say hi"),
    ]
    assert request.conversation == SESSION
    assert request.sampling == {
        "max_tokens": 100,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": []},
    }


def test_the_billing_line_goes_and_the_rest_of_its_block_stays() -> None:
    request = asked(system=f"{BILLING}\nYou are an agent.", messages=[user("User: say hi")])

    assert request.messages == [{"role": "system", "content": "You are an agent."}, user("say hi")]


@pytest.mark.parametrize(
    "user_id",
    [
        f"user_{'a1' * 32}_account__session_{SESSION}",
        json.dumps({"device_id": "d" * 64, "account_uuid": "acc-1", "session_id": SESSION}),
    ],
)
def test_of_who_asks_only_the_session_is_kept(user_id: str) -> None:
    request = asked(
        messages=[user("hi")],
        metadata={"user_id": user_id},
        user_profile_id="profile-1",
        mcp_servers=[{"type": "url", "url": "https://x", "authorization_token": "canary"}],
    )

    assert request.conversation == SESSION
    assert request.sampling == {"max_tokens": 100}


@pytest.mark.parametrize("metadata", [None, {}, {"user_id": "ann"}, {"user_id": 7}, "session_id"])
def test_without_a_session_the_conversation_is_not_named(metadata: Any) -> None:
    assert asked(messages=[user("hi")], metadata=metadata).conversation is None


def test_a_persons_own_program_may_begin_a_prompt_with_user() -> None:
    assert asked(messages=[user("User: root is locked out")]).messages == [user("User: root is locked out")]


def test_results_of_tools_answer_their_calls() -> None:
    request = asked(
        messages=[
            user("read both"),
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Two files: read both.", "signature": "EqQB"},
                    {"type": "text", "text": "I read both files."},
                    {"type": "tool_use", "id": "toolu_01A", "name": "Read",
                     "input": {"file_path": "src/größe.py", "limit": 20}},
                    {"type": "tool_use", "id": "toolu_01B", "name": "Read", "input": {"file_path": "b.py"},
                     "cache_control": {"type": "ephemeral"}},
                ],
            },
            user(
                [
                    {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "x = 1"},
                    {"type": "tool_result", "tool_use_id": "toolu_01B", "is_error": True,
                     "content": [{"type": "text", "text": "no such file"}]},
                    {"type": "text", "text": "go on"},
                ]
            ),
        ]
    )  # fmt: skip

    assert request.messages[1:] == [
        read("tools_and_thinking.sse").message,
        {"role": "tool", "tool_call_id": "toolu_01A", "content": "x = 1"},
        {"role": "tool", "tool_call_id": "toolu_01B", "content": "no such file"},
        user("go on"),
    ]


def test_images_are_parts_in_the_common_shape() -> None:
    request = asked(
        messages=[
            user(
                [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                    {"type": "document", "source": {"type": "file", "file_id": "f"}, "cache_control": {}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a page"}},
                    {"type": "text", "text": "compare"},
                ]
            )
        ]
    )  # fmt: skip

    assert request.messages[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,<4 characters left out>"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "text", "text": "a page"},
        {"type": "text", "text": "compare"},
    ]


def test_tools_have_the_common_shape_and_the_vendors_own_keep_theirs() -> None:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    request = asked(
        messages=[user("hi")],
        tools=[
            {"name": "Read", "description": "reads", "input_schema": schema, "cache_control": {}},
            {"name": "web_search", "type": "web_search_20250305", "max_uses": 2},
        ],
    )

    assert request.tools == [
        {"type": "function", "function": {"name": "Read", "description": "reads", "parameters": schema}},
        {"name": "web_search", "type": "web_search_20250305", "max_uses": 2},
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b'{"messages":[]}', b'{"messages":"x"}', b"\xff"])
def test_what_is_no_request_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        form.asked(body)


@pytest.mark.parametrize(
    ("method", "path", "is_captured"),
    [
        ("POST", "/v1/messages", True),
        ("GET", "/v1/messages", False),
        ("HEAD", "/", False),
        ("POST", "/v1/messages/count_tokens", False),
        ("POST", "/v1/messages/batches", False),
        ("GET", "/v1/models", False),
    ],
)
def test_only_messages_are_exchanges(method: str, path: str, is_captured: bool) -> None:
    assert (Anthropic().form(method, path) is not None) is is_captured


def test_claude_code_names_its_session_in_a_header() -> None:
    fields = {b"x-claude-code-session-id": SESSION.encode()}
    head = RequestHead(method="POST", target=b"/", headers=[], fields=fields, version="1.1", client=None,
                       content_length=0, has_body=False)  # fmt: skip

    assert Anthropic().conversation(head) == SESSION.encode()


def test_of_the_posts_of_one_tool_using_turn_only_the_last_is_trained_on() -> None:
    """Each request repeats the answer before it, in other words than it was streamed in."""
    first = read("tools_and_thinking.sse")
    reminder = {"type": "text", "text": "<system-reminder>\nrules\n</system-reminder>"}
    prompt = {"type": "text", "text": "User: read both files and tell me"}
    call_blocks = [
        {"type": "text", "text": "I read both files."},
        {"type": "tool_use", "id": "toolu_01A", "name": "Read", "input": {"file_path": "src/größe.py", "limit": 20}},
        {"type": "tool_use", "id": "toolu_01B", "name": "Read", "input": {"file_path": "b.py"}},
    ]  # fmt: skip
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_01A", "content": f"x = 1\n\n{reminder['text']}"},
        {"type": "tool_result", "tool_use_id": "toolu_01B", "content": [{"type": "text", "text": "y = 2"}]},
        reminder,
    ]
    opening = asked(
        messages=[user([reminder, {**prompt, "cache_control": {}}])],
        metadata={"user_id": f"_session_{SESSION}"},
    )
    followed = asked(
        messages=[user([reminder, prompt]), {"role": "assistant", "content": call_blocks}, user(results)],
        metadata={"user_id": f"_session_{SESSION}"},
    )  # fmt: skip

    curated = curate(
        [
            candidate("ex_1", opening, first),
            candidate("ex_2", followed, read("text.sse")),
        ],
        DataRules(min_prompt_length=3, min_response_length=3),
    )

    (row,) = (*curated.train, *curated.valid)
    assert row.source == "ex_2"
    assert [m.role for m in row.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert row.messages[0].content == "read both files and tell me"
    assert row.messages[1].tool_calls == tuple(TWO_CALLS)
    assert [m.content for m in row.messages[2:4]] == ["x = 1", "y = 2"]
    assert {count.reason: count.rows for count in curated.dropped} == {"superseded": 1}


@pytest.mark.parametrize(
    ("reason", "is_kept"),
    [("end_turn", True), ("stop_sequence", True), ("tool_use", True), ("max_tokens", False), ("refusal", False),
     ("pause_turn", False), ("model_context_window_exceeded", False)],
)  # fmt: skip
def test_of_the_vendors_reasons_to_stop_only_those_of_an_end_are_trained_on(
    reason: str, is_kept: bool
) -> None:
    answered = read("text.json")
    answered.finish_reason = reason

    curated = curate([candidate("ex_1", asked(messages=[user("question")]), answered)], DataRules(min_prompt_length=3, min_response_length=3))  # fmt: skip

    assert len((*curated.train, *curated.valid)) == is_kept


def candidate(name: str, request: Any, answered: Answered) -> Candidate:
    return Candidate(
        Exchange.model_validate(
            {
                "id": ExchangeId(name),
                "captured_at": utc_now(),
                "domain": "coding",
                "conversation_id": request.conversation or name,
                "messages": [*request.messages, *answered.turns],
                "answer": answered.message,
                "finish_reason": answered.finish_reason,
                "complete": answered.complete,
            }
        )
    )
