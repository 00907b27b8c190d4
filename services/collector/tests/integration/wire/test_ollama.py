"""The `ollama` package through a collector: what it reads is what is in Postgres, field by field."""

import base64
from typing import Any

import ollama
import pytest

pytestmark = pytest.mark.integration

WEATHER = {"role": "assistant", "content": "I look it up.", "thinking": "The weather – in Zürich. 😀"}


def client(wired: Any) -> ollama.Client:
    return ollama.Client(host=wired.url)


def stored(wired: Any) -> list[dict[str, Any]]:
    wired.drain()
    exchanges: list[dict[str, Any]] = wired.stored()
    return exchanges


def test_a_streamed_chat_with_thinking_and_tools(wired: Any, wire: Any) -> None:
    wire.replay("ollama/api/chat/tools_thinking.ndjson")

    def weather(city: str, days: int) -> str:
        """The weather.

        Args:
          city: Where.
          days: For how long.
        """
        return f"sun in {city} for {days} days"

    parts = list(
        client(wired).chat(
            "qwen3:8b",
            messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": "the weather?"}],
            tools=[weather],
            options={"temperature": 0, "num_ctx": 4096},
            think=True,
            stream=True,
        )
    )

    calls = [call.function for part in parts for call in part.message.tool_calls or ()]
    (exchange,) = stored(wired)
    assert exchange["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "the weather?"},
    ]
    assert [tool["function"]["name"] for tool in exchange["tools"]] == ["weather"]
    assert exchange["answer"] == {
        **WEATHER,
        "content": "".join(part.message.content or "" for part in parts),
        "thinking": "".join(part.message.thinking or "" for part in parts),
        "tool_calls": [
            {"type": "function", "function": {"name": call.name, "arguments": arguments}}
            for call, arguments in zip(calls, ['{"city":"Zürich","days":2}', "{}"], strict=True)
        ],
    }
    assert (exchange["dialect"], exchange["model_asked"], exchange["model_served"]) == (
        "ollama",
        "qwen3:8b",
        parts[-1].model,
    )
    assert (exchange["finish_reason"], exchange["complete"]) == (parts[-1].done_reason, True)
    assert exchange["usage"] == {
        "prompt_tokens": parts[-1].prompt_eval_count,
        "completion_tokens": parts[-1].eval_count,
    }
    assert exchange["sampling"] == {"temperature": 0, "num_ctx": 4096, "think": True}


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_chat_of_the_real_server(wired: Any, wire: Any, is_stream: bool) -> None:
    wire.replay(f"ollama/api/chat/{'stream.ndjson' if is_stream else 'whole.json'}")
    messages = [{"role": "user", "content": "Say hello"}]

    if is_stream:
        text = "".join(
            part.message.content or "" for part in client(wired).chat("tiny", messages=messages, stream=True)
        )
    else:
        text = client(wired).chat("tiny", messages=messages).message.content or ""

    (exchange,) = stored(wired)
    assert exchange["answer"] == {"role": "assistant", "content": text}
    assert text == "hello world"
    assert exchange["usage"] == {"prompt_tokens": 25, "completion_tokens": 5}


def test_a_raw_generate_with_an_image(wired: Any, wire: Any) -> None:
    wire.replay("ollama/api/generate/raw.json")
    picture = base64.b64encode(b"not really a picture " * 100).decode()

    reply = client(wired).generate(
        "tiny", "The capital of France is", raw=True, system="be brief", images=[picture], options={"seed": 1}
    )

    assert picture.encode() in wire.received[0].body
    (exchange,) = stored(wired)
    image = {"type": "image_url", "image_url": {"url": f"data:;base64,<{len(picture)} characters left out>"}}
    assert exchange["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "The capital of France is"}, image]},
    ]
    assert exchange["answer"] == {"role": "assistant", "content": reply.response}
    assert exchange["sampling"] == {"seed": 1, "raw": True}


def test_generating_on_from_a_context_is_one_conversation(wired: Any, wire: Any) -> None:
    wire.replay("ollama/api/generate/whole.json")

    first = client(wired).generate("tiny", "The capital of France is")
    client(wired).generate("tiny", "and of Spain?", context=first.context)
    client(wired).generate("tiny", "something else")

    one, two, three = (exchange["conversation_id"] for exchange in stored(wired))
    assert one == two != three
    assert stored(wired)[1]["sampling"] == {"context_tokens": len(first.context or ())}


def test_an_error_line_reaches_the_client_and_leaves_a_partial_answer(wired: Any, wire: Any) -> None:
    wire.replay("ollama/api/chat/error.ndjson")

    with pytest.raises(ollama.ResponseError, match="running the model"):
        list(client(wired).chat("tiny", messages=[{"role": "user", "content": "hi"}], stream=True))

    (exchange,) = stored(wired)
    assert (exchange["answer"]["content"], exchange["complete"]) == ("half an", False)


def test_a_missing_model_is_an_exchange_with_its_status(wired: Any, wire: Any) -> None:
    wire.reply = wire.reply.but(status=b"404 Not Found", pieces=(b'{"error":"model \'nope\' not found"}',))

    with pytest.raises(ollama.ResponseError, match="not found"):
        client(wired).chat("nope", messages=[{"role": "user", "content": "hi"}])

    assert [exchange["status"] for exchange in stored(wired)] == [404]


def test_its_prefix_serves_everything_below_one_address(wired: Any, wire: Any) -> None:
    wire.replay("ollama/api/chat/whole.json")
    prefixed = ollama.Client(host=f"{wired.url}/d/legal/ollama")

    prefixed.chat("tiny", messages=[{"role": "user", "content": "Say hello"}])
    wire.replay("ollama/v1/chat/completions/whole.json")

    assert [head.head.split(b" ")[1] for head in wire.received] == [b"/api/chat"]
    assert [(exchange["dialect"], exchange["domain"]) for exchange in stored(wired)] == [("ollama", "legal")]
