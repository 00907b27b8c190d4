"""The Engie proxy behind a collector: its ways in pass as they are, and its agent's work is in Postgres."""

import contextlib
import hashlib
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from openai import OpenAI

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[2] / "recorded" / "engie"
SESSION = "5d0c7c3e-6a55-4f0b-9a52-0f5b6f2a1c11"


def stored(wired: Any) -> list[dict[str, Any]]:
    wired.drain()
    exchanges: list[dict[str, Any]] = wired.stored()
    return exchanges


def invoke(url: str, path: str = "/invoke", **body: Any) -> httpx2.Response:
    return httpx2.post(f"{url}{path}", json={"prompt": "what is in the folder?", "model": "sonnet"} | body)


def test_an_invocation_passes_and_is_kept_with_its_cost_and_session(wired: Any, wire: Any) -> None:
    wire.replay("engie/invoke/result.json")

    direct, through = invoke(wire.url), invoke(wired.url, systemPrompt="be brief", maxTurns=3)

    assert through.content == direct.content
    (exchange,) = stored(wired)
    assert exchange["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what is in the folder?"},
    ]
    assert exchange["answer"] == {"role": "assistant", "content": "One file, one function. 😀"}
    assert (exchange["dialect"], exchange["conversation_id"]) == ("engie", SESSION)
    assert (exchange["cost_usd"], exchange["model_asked"], exchange["model_served"]) == (
        0.0213,
        "sonnet",
        "claude-sonnet-5",
    )
    assert exchange["sampling"] == {"maxTurns": 3}


def test_a_streamed_invocation_is_kept_with_the_tools_that_ran(wired: Any, wire: Any) -> None:
    reply = wire.replay("engie/invoke/stream/tools.ndjson", piece=13)

    through = invoke(wired.url, "/invoke/stream", prompt="User: hello\n\nAssistant: hi\n\nUser: look")

    assert hashlib.sha256(through.content).digest() == hashlib.sha256(reply.body).digest()
    assert through.headers["content-type"] == "application/x-ndjson"
    (exchange,) = stored(wired)
    assert [(message["role"], message.get("content")) for message in exchange["messages"]] == [
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "look"),
        ("assistant", "I look at the folder."),
        ("tool", "größe.py"),
        ("assistant", None),
        ("tool", "It holds one function."),
    ]
    assert exchange["messages"][3]["tool_calls"][0]["function"]["name"] == "Bash"
    assert exchange["answer"]["content"] == "One file, one function. 😀"
    assert (exchange["complete"], exchange["conversation_id"], exchange["cost_usd"]) == (
        True,
        SESSION,
        0.0213,
    )


def test_a_follow_up_belongs_to_the_session_that_the_first_reply_named(wired: Any, wire: Any) -> None:
    wire.replay("engie/invoke/result.json")
    invoke(wired.url)
    invoke(wired.url, prompt="and then?", resumeSession=SESSION)
    invoke(wired.url, prompt="something else", resumeSession="other-session")

    assert [exchange["conversation_id"] for exchange in stored(wired)] == [SESSION, SESSION, "other-session"]


def test_what_a_secret_looks_like_is_not_stored_from_the_agents_tools_either(wired: Any, wire: Any) -> None:
    secret = "sk-proj-" + "aB3dE6gH" * 6
    body = (
        (RECORDED / "invoke/stream/tools.ndjson")
        .read_bytes()
        .replace(b"It holds one function.", secret.encode())
    )
    reply = wire.replay("engie/invoke/stream/tools.ndjson")
    wire.reply = reply.but(pieces=(body,))

    assert secret.encode() in invoke(wired.url, "/invoke/stream").content

    document = json.dumps(stored(wired))
    assert secret not in document
    assert "<API_KEY_1>" in document


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_proxys_chat_is_kept_under_its_session_key(wired: Any, wire: Any, is_stream: bool) -> None:
    wire.replay(f"engie/v1/chat/completions/text.{'sse' if is_stream else 'json'}")
    client = OpenAI(base_url=f"{wired.url}/engie/v1", api_key="unused", max_retries=0)
    messages: Any = [
        {"role": "system", "content": "sessionKey: chat-7\nbe brief"},
        {"role": "user", "content": "hello"},
    ]

    reply: Any = client.chat.completions.create(model="m", messages=messages, stream=is_stream)
    text = (
        "".join(chunk.choices[0].delta.content or "" for chunk in reply)
        if is_stream
        else reply.choices[0].message.content
    )

    (exchange,) = stored(wired)
    assert exchange["answer"]["content"] == text == "Hello! 😀"
    assert exchange["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
    ]
    assert (exchange["dialect"], exchange["conversation_id"]) == ("engie", "chat-7")
    assert "usage" not in exchange or not any(exchange["usage"].values())
    assert b"sessionKey: chat-7" in wire.received[-1].body


def test_its_other_paths_pass_uncaptured(wired: Any, wire: Any) -> None:
    wire.reply = wire.reply.but(pieces=(b'{"status":"ok"}',))
    paths = ["/health", "/status", "/v1/sessions", "/engie/v1/models"]

    replies = [httpx2.get(f"{wired.url}{path}") for path in paths]
    replies.append(httpx2.post(f"{wired.url}/cancel", json={"jobId": "job_1"}))

    assert [reply.json() for reply in replies] == [{"status": "ok"}] * 5
    assert [request.head.split(b" ")[1].decode() for request in wire.received] == [
        "/health",
        "/status",
        "/v1/sessions",
        "/v1/models",
        "/cancel",
    ]
    assert stored(wired) == []


def test_a_failure_of_the_proxy_passes_and_is_kept_with_its_status(wired: Any, wire: Any) -> None:
    wire.reply = wire.reply.but(
        status=b"503 Service Unavailable", pieces=(b'{"error":"Claude is offline","hint":"wait"}',)
    )

    reply = invoke(wired.url)

    assert (reply.status_code, reply.json()["hint"]) == (503, "wait")
    assert [exchange["status"] for exchange in stored(wired)] == [503]


def test_a_client_that_leaves_cancels_the_job(wired: Any, wire: Any) -> None:
    wire.reply = wire.replay("engie/invoke/stream/tools.ndjson", piece=400).but(hangs_after=5)
    parts = urlsplit(wired.url)
    body = b'{"prompt":"look"}'
    head = b"POST /invoke/stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)

    with contextlib.closing(socket.create_connection((parts.hostname, parts.port), timeout=30)) as connection:
        connection.sendall(head + body)
        assert wire.hanging.wait(20)
        assert connection.recv(1)

    assert wire.gone.wait(30)
    (exchange,) = stored(wired)
    assert (exchange["complete"], exchange["messages"][0]["content"]) == (False, "look")
