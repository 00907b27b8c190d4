"""Ollama's native wire, as an exchange keeps it."""

import json
from pathlib import Path
from typing import Any

import pytest

from forge_collector.dialects.dialect import Answered, Asked, NoExchange, Unreadable
from forge_collector.dialects.ollama import Ollama

RECORDED = Path(__file__).parents[2] / "recorded/ollama"
TYPES = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "json": "application/json; charset=utf-8",
}


def read(name: str) -> Answered:
    path = RECORDED / name
    form = Ollama().form("POST", f"/{path.parent.relative_to(RECORDED)}")
    assert form is not None
    reader = form.reader(TYPES[path.suffix[1:]])
    reader.feed(path.read_bytes())
    return reader.answered()


def ask(path: str, **body: Any) -> Asked:
    form = Ollama().form("POST", path)
    assert form is not None
    return form.asked(json.dumps({"model": "tiny", **body}).encode())


def test_a_recorded_chat_is_read_streamed_and_whole() -> None:
    streamed, whole = read("api/chat/stream.ndjson"), read("api/chat/whole.json")

    for answered in (streamed, whole):
        assert answered.message == {"role": "assistant", "content": "hello world"}
        assert (answered.model, answered.finish_reason, answered.complete) == ("tiny", "stop", True)
        assert answered.usage == {"prompt_tokens": 25, "completion_tokens": 5}


def test_thinking_and_tool_calls_without_ids_come_in_lines_of_their_own() -> None:
    answered = read("api/chat/tools_thinking.ndjson")

    assert answered.message == {
        "role": "assistant",
        "content": "I look it up.",
        "thinking": "The weather – in Zürich. 😀",
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich","days":2}'}},
            {"type": "function", "function": {"name": "time", "arguments": "{}"}},
        ],
    }
    assert (answered.finish_reason, answered.complete) == ("stop", True)


def test_a_recorded_generate_is_read() -> None:
    answered = read("api/generate/stream.ndjson")

    assert answered.message["content"] == "hello to the world"
    assert answered.complete
    assert read("api/generate/raw.json").message["content"] == " Paris."
    assert read("api/generate/thinking.ndjson").message["thinking"] == "hm"


@pytest.mark.parametrize(
    ("name", "text"),
    [("api/chat/error.ndjson", "half an"), ("api/generate/not_text.ndjson", "(]"), ("api/generate/not_text_whole.json", "(]")],
)  # fmt: skip
def test_an_error_line_and_output_that_was_no_text_make_the_answer_partial(name: str, text: str) -> None:
    answered = read(name)

    assert (answered.message["content"], answered.complete) == (text, False)


def test_its_openai_paths_are_read_as_openai() -> None:
    chat, completion = read("v1/chat/completions/stream_usage.sse"), read("v1/completions/stream.sse")

    assert (chat.message["content"], chat.usage) == (
        "hello world",
        {"prompt_tokens": 25, "completion_tokens": 5},
    )
    assert (completion.message["content"], completion.finish_reason) == ("hello to", "length")
    assert completion.usage == {"prompt_tokens": 28, "completion_tokens": 4}


def test_its_anthropic_path_is_read_as_anthropic() -> None:
    asked = ask("/v1/messages", max_tokens=9, messages=[{"role": "user", "content": "hi"}], system="be brief")

    assert [message["content"] for message in asked.messages] == ["be brief", "hi"]


def test_a_chat_request_is_read() -> None:
    asked = ask(
        "/api/chat",
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "what is this?", "images": ["iVBORw0K"]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]},
            {"role": "tool", "tool_name": "look", "content": "a cat"},
        ],
        tools=[{"type": "function", "function": {"name": "look"}}],
        options={"temperature": 0, "num_ctx": 4096},
        format="json", think=True, keep_alive="5m",
    )  # fmt: skip

    image = {"type": "image_url", "image_url": {"url": "data:;base64,<8 characters left out>"}}
    call = {"type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    assert asked.messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what is this?"}, image]},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call]},
        {"role": "tool", "name": "look", "content": "a cat"},
    ]
    assert asked.sampling == {"temperature": 0, "num_ctx": 4096, "format": "json", "think": True}
    assert (asked.model, asked.tools) == (
        "tiny",
        [{"type": "function", "function": {"name": "look"}}],
    )


def test_a_generate_request_is_read() -> None:
    asked = ask("/api/generate", prompt="def f(", suffix="return x", system="code", raw=True, stream=False)

    assert asked.messages == [{"role": "system", "content": "code"}, {"role": "user", "content": "def f("}]
    assert asked.sampling == {"suffix": "return x", "raw": True}


def test_the_token_context_is_not_kept_but_tells_the_conversation() -> None:
    first = read("api/generate/whole.json")
    context = json.loads((RECORDED / "api/generate/whole.json").read_bytes())["context"]

    second = ask("/api/generate", prompt="and now?", context=context)

    assert second.continues == first.id is not None
    assert second.sampling == {"context_tokens": len(context)}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": []}),
        ("/api/chat", {"messages": [], "keep_alive": 0}),
        ("/api/chat", {}),
        ("/api/generate", {}),
        ("/api/generate", {"prompt": "", "keep_alive": 0}),
    ],
)
def test_loading_and_unloading_a_model_is_no_exchange(path: str, body: dict[str, Any]) -> None:
    with pytest.raises(NoExchange):
        ask(path, **body)


def test_arguments_nested_beyond_reason_are_unreadable() -> None:
    call = '{"message":{"tool_calls":[{"function":{"arguments":' + '{"a":' * 300 + "1" + "}" * 300 + "}}]}}"
    form = Ollama().form("POST", "/api/chat")
    assert form is not None
    reader = form.reader("application/json")
    reader.feed(call.encode())

    with pytest.raises(Unreadable):
        reader.answered()


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings", "/api/tags", "/api/show", "/api/pull", "/v1/embeddings"])  # fmt: skip
def test_the_rest_passes_uncaptured(path: str) -> None:
    assert Ollama().form("POST", path) is None
