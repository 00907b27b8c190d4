"""Claude Code and the official SDK through a collector: the bytes are the upstream's, and what passed is in Postgres."""

import contextlib
import gzip
import hashlib
import http.client
import json
import socket
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anthropic
import pytest

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[2] / "recorded" / "anthropic" / "v1" / "messages"
SESSION = "5d0c7c3e-6a55-4f0b-9a52-0f5b6f2a1c11"
TOOL: Any = {
    "name": "Read",
    "description": "Reads a file.",
    "input_schema": {"type": "object", "properties": {"file_path": {"type": "string"}}},
}
ANSWER = {
    "role": "assistant",
    "content": "I read both files.",
    "thinking": "Two files: read both.",
    "tool_calls": [
        {
            "id": "toolu_01A",
            "type": "function",
            "function": {"name": "Read", "arguments": '{"file_path":"src/größe.py","limit":20}'},
        },
        {
            "id": "toolu_01B",
            "type": "function",
            "function": {"name": "Read", "arguments": '{"file_path":"b.py"}'},
        },
    ],
}
# What the real command sends, the credential apart.
CLAUDE_CODE = {
    "accept": "application/json",
    "authorization": "Bearer " + "made-up-at-" + "run-time",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "x-claude-code-session-id": SESSION,
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "600",
    "user-agent": "claude-cli/2.1.197 (external, sdk-cli)",
    "content-type": "application/json",
    "accept-encoding": "gzip, deflate, br, zstd",
}


def sdk(url: str, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="made-up-" + "key", max_retries=0, **more)


def ask(url: str, **more: Any) -> Any:
    fields: Any = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": [{"role": "user", "content": "read both"}]}  # fmt: skip
    return sdk(url).messages.create(**(fields | more))


def claude_code_request(prompt: str = "User: say hi") -> bytes:
    """As large and as odd as the real one."""
    tools = [
        {**TOOL, "name": f"Tool{i}", "description": "What it does, at length. " * 170} for i in range(24)
    ]
    return json.dumps(
        {
            "model": "claude-sonnet-5",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "<system-reminder>\nRules of the house.\n</system-reminder>\n"},
                        {"type": "text", "text": prompt, "cache_control": {"type": "ephemeral"}},
                    ],
                },
                {"role": "system", "content": "Available agents: none."},
            ],
            "system": [
                {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.0d9; cch=fa690;"},
                {"type": "text", "text": "You are an agent. " * 200, "cache_control": {"type": "ephemeral"}},
            ],
            "tools": tools,
            "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "canary-account", "session_id": SESSION})},
            "max_tokens": 64000,
            "thinking": {"type": "adaptive"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "medium"},
            "stream": True,
        }
    ).encode()  # fmt: skip


def raw(
    url: str, method: str, path: str, body: bytes | None = None, **more: str
) -> tuple[int, dict[str, str], str]:
    """Status, headers and the hash of the body, with nothing decoded in between."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(method, path, body, CLAUDE_CODE | more)
    reply = connection.getresponse()
    digest = hashlib.sha256(reply.read()).hexdigest()
    connection.close()
    return reply.status, {name.lower(): value for name, value in reply.getheaders()}, digest


def without(names: set[str], fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in names}


def header_lines(head: bytes) -> list[bytes]:
    """The request line and headers as they came, without those that belong to one hop."""
    return [line for line in head.splitlines() if not line.lower().startswith((b"host:", b"connection:"))]


def stored(wired: Any) -> list[dict[str, Any]]:
    wired.drain()
    exchanges: list[dict[str, Any]] = wired.stored()
    return exchanges


@pytest.mark.parametrize("is_stream", [False, True])
def test_what_the_sdk_reads_is_what_is_kept(wired: Any, wire: Any, is_stream: bool) -> None:
    wire.replay(f"anthropic/v1/messages/tools_and_thinking.{'sse' if is_stream else 'json'}")
    messages: Any = [{"role": "user", "content": "read both"}]
    if is_stream:
        with sdk(wired.url).messages.stream(
            model="claude-sonnet-5", max_tokens=100, messages=messages, tools=[TOOL], system="be brief"
        ) as stream:
            reply = stream.get_final_message()
    else:
        reply = ask(wired.url, messages=messages, tools=[TOOL], system="be brief")

    (exchange,) = stored(wired)
    calls = [block for block in reply.content if block.type == "tool_use"]
    assert exchange["answer"] == ANSWER
    assert [call.input for call in calls] == [
        json.loads(call["function"]["arguments"]) for call in exchange["answer"]["tool_calls"]
    ]
    assert exchange["messages"] == [{"role": "system", "content": "be brief"}, *messages]
    assert exchange["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "Read",
                "description": "Reads a file.",
                "parameters": TOOL["input_schema"],
            },
        }
    ]
    assert (exchange["dialect"], exchange["model_asked"]) == ("anthropic", "claude-sonnet-5")
    assert (exchange["model_served"], exchange["finish_reason"]) == (reply.model, reply.stop_reason)
    assert exchange["usage"]["cached_tokens"] == reply.usage.cache_read_input_tokens == 18000
    assert exchange["complete"] is True


def test_a_streaming_create_is_kept_when_its_reader_stops_at_the_last_event(wired: Any, wire: Any) -> None:
    wire.replay("anthropic/v1/messages/text.sse")
    stream = ask(wired.url, stream=True)

    events = [event.type for event in stream]

    assert events[-1] == "message_stop"
    (exchange,) = stored(wired)
    assert exchange["answer"]["content"] == "Hello! “Naïve” 😀, how can I help?"


def test_counting_tokens_and_listing_models_pass_uncaptured(wired: Any, wire: Any) -> None:
    count = wire.reply.but(pieces=(b'{"input_tokens":14}',), has_length=True)
    models = wire.reply.but(pieces=(b'{"data":[],"has_more":false,"first_id":null,"last_id":null}',))
    wire.replies = {"/v1/messages/count_tokens": count, "/v1/models": models}

    counted = sdk(wired.url).messages.count_tokens(model="m", messages=[{"role": "user", "content": "hi"}])
    listed = sdk(wired.url).models.list()

    assert (counted.input_tokens, listed.data) == (14, [])
    assert [request.head.split(b" ")[1] for request in wire.received] == [
        b"/v1/messages/count_tokens",
        b"/v1/models",
    ]
    assert stored(wired) == []


def test_claude_codes_requests_and_replies_hash_the_same_with_and_without_the_collector(
    wired: Any, wire: Any
) -> None:
    body = claude_code_request()
    assert len(body) > 100_000
    wire.replay("anthropic/v1/messages/tools_and_thinking.sse")

    replies = [
        [raw(url, "HEAD", "/"), raw(url, "POST", "/v1/messages?beta=true", body)]
        for url in (wire.url, wired.url)
    ]

    ours = {"x-forge-exchange-id", "connection", "transfer-encoding"}
    for (direct_status, direct_fields, direct_hash), (status, fields, digest) in zip(*replies, strict=True):
        assert (status, digest) == (direct_status, direct_hash)
        assert without(ours, fields) == without(ours, direct_fields)
    head, post, through_head, through_post = wire.received
    assert header_lines(through_head.head) == header_lines(head.head)
    assert header_lines(through_post.head) == header_lines(post.head)
    assert through_post.body == post.body == body


def test_a_request_of_claude_code_becomes_a_clean_exchange(wired: Any, wire: Any) -> None:
    wire.replay("anthropic/v1/messages/tools_and_thinking.sse")

    raw(wired.url, "POST", "/v1/messages?beta=true", claude_code_request())

    (exchange,) = stored(wired)
    system, user = exchange["messages"]
    assert system["content"] == "You are an agent. " * 200 + "\n\nAvailable agents: none."
    assert user == {"role": "user", "content": "say hi"}
    assert exchange["conversation_id"] == SESSION
    assert set(exchange["sampling"]) == {"max_tokens", "thinking", "context_management", "output_config"}
    assert len(exchange["tools"]) == 24
    document = json.dumps(exchange)
    for canary in ("canary-account", "d" * 64, "cch=", CLAUDE_CODE["authorization"]):
        assert canary not in document


def test_the_posts_of_one_turn_are_one_conversation(wired: Any, wire: Any) -> None:
    body = json.loads(claude_code_request())
    wire.replay("anthropic/v1/messages/tools_and_thinking.sse")
    raw(wired.url, "POST", "/v1/messages?beta=true", json.dumps(body).encode())
    reply: Any = json.loads((RECORDED / "tools_and_thinking.json").read_bytes())
    results = [
        {"type": "tool_result", "tool_use_id": name, "content": "x = 1"}
        for name in ("toolu_01A", "toolu_01B")
    ]
    body["messages"] += [
        {"role": "assistant", "content": reply["content"]},
        {"role": "user", "content": results},
    ]
    wire.replay("anthropic/v1/messages/text.sse")
    raw(wired.url, "POST", "/v1/messages?beta=true", json.dumps(body).encode())

    first, second = stored(wired)
    assert first["conversation_id"] == second["conversation_id"] == SESSION
    # So the second holds all of the first, and that one is left out of datasets.
    assert second["messages"][:3] == [*first["messages"], first["answer"]]
    assert [message["role"] for message in second["messages"][3:]] == ["tool", "tool"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_stream_passes_as_it_is_and_is_read_in_the_copy(
    wired: Any, wire: Any, encoding: str
) -> None:
    plain = wire.replay("anthropic/v1/messages/text.sse")
    packed = gzip.compress(plain.body, mtime=0) if encoding == "gzip" else zlib.compress(plain.body)
    pieces = tuple(packed[i : i + 7] for i in range(0, len(packed), 7))
    wire.reply = plain.but(pieces=pieces, headers=(*plain.headers, (b"Content-Encoding", encoding.encode())))

    status, _, digest = raw(wired.url, "POST", "/v1/messages", claude_code_request())

    assert (status, digest) == (200, hashlib.sha256(packed).hexdigest())
    assert stored(wired)[0]["answer"]["content"] == "Hello! “Naïve” 😀, how can I help?"


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [(b"529 ", "overloaded_error", anthropic.InternalServerError),
     (b"429 Too Many Requests", "rate_limit_error", anthropic.RateLimitError)],
)  # fmt: skip
def test_the_upstreams_errors_pass_untouched(
    wired: Any, wire: Any, status: bytes, kind: str, error: Any
) -> None:
    body = json.dumps(
        {"type": "error", "error": {"type": kind, "message": "later"}, "request_id": "req_1"}
    ).encode()
    headers = ((b"content-type", b"application/json"), (b"retry-after", b"17"), (b"request-id", b"req_1"),
               (b"anthropic-ratelimit-requests-remaining", b"0"))  # fmt: skip
    wire.reply = wire.reply.but(pieces=(body,), status=status, headers=headers, has_length=True)

    with pytest.raises(error) as caught:
        ask(wired.url)
    through, direct = (
        raw(url, "POST", "/v1/messages", claude_code_request()) for url in (wired.url, wire.url)
    )

    assert (caught.value.response.headers["retry-after"], caught.value.body["error"]["type"]) == ("17", kind)
    assert (through[0], through[2]) == (direct[0], direct[2])
    assert without({"x-forge-exchange-id", "connection"}, through[1]) == without({"connection"}, direct[1])
    kept = stored(wired)
    assert [(e["status"], e["answer"].get("content")) for e in kept] == [(int(status[:3]), None)] * 2


def test_an_error_within_the_stream_reaches_the_client_and_leaves_a_partial_answer(
    wired: Any, wire: Any
) -> None:
    wire.replay("anthropic/v1/messages/overloaded.sse")

    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(ask(wired.url, stream=True))

    (exchange,) = stored(wired)
    assert (exchange["answer"]["content"], exchange["complete"]) == ("Half an", False)


@pytest.mark.parametrize(
    ("is_stream", "hangs_after", "kept"), [(True, 12, [False]), (True, -1, []), (False, -1, [])]
)
def test_a_client_that_leaves_cancels_the_upstream(
    wired: Any, wire: Any, is_stream: bool, hangs_after: int, kept: list[bool]
) -> None:
    """In the middle of a stream, before its first byte, and while a whole answer is awaited."""
    wire.reply = wire.replay("anthropic/v1/messages/text.sse").but(hangs_after=hangs_after)
    body = json.loads(claude_code_request()) | {"stream": is_stream}
    leave_when_hanging(wired, wire, json.dumps(body).encode())

    assert wire.gone.wait(30)
    assert [exchange["complete"] for exchange in stored(wired)] == kept


def leave_when_hanging(wired: Any, wire: Any, body: bytes) -> None:
    """Having read all that came."""
    parts = urlsplit(wired.url)
    head = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    sent = b"".join(wire.reply.pieces[: max(wire.reply.hangs_after, 0)])
    with contextlib.closing(socket.create_connection((parts.hostname, parts.port), timeout=30)) as connection:
        connection.sendall(head + body)
        assert wire.hanging.wait(20)
        received = b""
        while sent[-8:] not in received:
            piece = connection.recv(65536)
            assert piece
            received += piece
