"""OpenAI's chat completions, streaming and not. Other paths under /v1 pass through uncaptured.

Tolerant by design: a field of an unexpected type is left out of the copy rather than refused.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
from pydantic import JsonValue

from forge_collector.dialects.dialect import (
    Answered,
    AnswerReader,
    Asked,
    Form,
    JsonObject,
    Unreadable,
    as_count,
    as_objects,
    as_text,
)
from forge_collector.dialects.sse import EventParser
from forge_common.http.proxy import RequestHead

# What is not sampling: the conversation itself, and what identifies the caller.
_NOT_SAMPLING = frozenset({"messages", "tools", "model", "stream", "stream_options", "user", "metadata"})
_DONE = b"[DONE]"


class OpenAI:
    name = "openai"

    def form(self, method: str, path: str) -> Form | None:
        return _FORMS.get(path) if method == "POST" else None

    def conversation(self, head: RequestHead) -> bytes | None:
        del head
        return None


class ChatCompletions:
    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        messages = [read_message(message) for message in as_objects(request.get("messages"))]
        if not messages:
            raise Unreadable("the request has no messages")
        return Asked(
            messages=messages,
            tools=as_objects(request.get("tools")) or None,
            model=as_text(request.get("model")),
            sampling={key: value for key, value in request.items() if key not in _NOT_SAMPLING},
            is_stream=request.get("stream") is True,
        )

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedAnswer() if "event-stream" in content_type else WholeAnswer()


class WholeAnswer:
    """A reply that is one JSON document; only the transfer's end ends it."""

    is_done = False

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)

    def answered(self) -> Answered:
        reply = parse_object(b"".join(self._chunks))
        choice = _first_choice(reply)
        message = choice.get("message")
        if not isinstance(message, dict):
            raise Unreadable("the reply has no message")
        finish_reason = as_text(choice.get("finish_reason"))
        return Answered(
            message=read_message({"role": "assistant", **message}),
            finish_reason=finish_reason,
            model=as_text(reply.get("model")),
            usage=read_usage(reply.get("usage")),
            complete=finish_reason is not None,
        )


class StreamedAnswer:
    """A reply in chunks. Only the first choice is kept: the others answer the same prompt again."""

    def __init__(self) -> None:
        self._events = EventParser()
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[int, JsonObject] = {}
        self._role = "assistant"
        self._finish_reason: str | None = None
        self._model: str | None = None
        self._usage: JsonObject = {}
        self._is_damaged = False
        self.is_done = False

    def feed(self, data: bytes) -> None:
        for event in self._events.feed(data):
            self._take(event)

    def answered(self) -> Answered:
        for event in self._events.finish():
            self._take(event)
        message: JsonObject = {"role": self._role, "content": "".join(self._content) or None}
        if self._thinking:
            message["thinking"] = "".join(self._thinking)
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return Answered(
            message=message,
            finish_reason=self._finish_reason,
            model=self._model,
            usage=self._usage,
            complete=(self.is_done or self._finish_reason is not None) and not self._is_damaged,
        )

    def _take(self, event: bytes) -> None:
        if event == _DONE:
            self.is_done = True
            return
        try:
            chunk = parse_object(event)
        except Unreadable:
            # Torn by the end of the stream, or not of this dialect: what came around it is kept, as partial.
            self._is_damaged = True
            return
        self._is_damaged = self._is_damaged or "error" in chunk
        self._model = as_text(chunk.get("model")) or self._model
        if chunk.get("usage"):
            self._usage = read_usage(chunk["usage"])
        for choice in as_objects(chunk.get("choices")):
            if choice.get("index", 0) == 0:
                self._take_choice(choice)

    def _take_choice(self, choice: JsonObject) -> None:
        self._finish_reason = as_text(choice.get("finish_reason")) or self._finish_reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        if content := as_text(delta.get("content")):
            self._content.append(content)
        if thinking := _thinking(delta):
            self._thinking.append(thinking)
        if refusal := as_text(delta.get("refusal")):
            self._content.append(refusal)
        for call in as_objects(delta.get("tool_calls")):
            self._take_call(call)

    def _take_call(self, delta: JsonObject) -> None:
        # Without an index (some servers leave it out) an id opens a new call and anything else continues the last one.
        index = as_count(delta.get("index"))
        if index is None:
            index = len(self._calls) if delta.get("id") or not self._calls else max(self._calls)
        call = self._calls.setdefault(
            index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = as_text(delta.get("id")) or call["id"]
        function, into = delta.get("function"), call["function"]
        if isinstance(function, dict) and isinstance(into, dict):
            for key in ("name", "arguments"):
                into[key] = f"{into[key]}{as_text(function.get(key)) or ''}"


_FORMS: dict[str, Form] = {"/v1/chat/completions": ChatCompletions()}


def read_message(message: JsonObject) -> JsonObject:
    """A message with the fields that an exchange keeps, each of the type that it promises."""
    kept: JsonObject = {"role": as_text(message.get("role")) or "user", "content": _content(message)}
    for key in ("name", "tool_call_id"):
        if text := as_text(message.get(key)):
            kept[key] = text
    if calls := as_objects(message.get("tool_calls")):
        kept["tool_calls"] = list(calls)
    if thinking := _thinking(message):
        kept["thinking"] = thinking
    return kept


def read_usage(usage: JsonValue) -> JsonObject:
    if not isinstance(usage, dict):
        return {}
    return {key: as_count(usage.get(key)) for key in ("prompt_tokens", "completion_tokens")}


def parse_object(data: bytes) -> JsonObject:
    """Raises Unreadable. Lone surrogates, which strict parsers refuse, become replacement characters."""
    try:
        value: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _parse_leniently(data)
    if not isinstance(value, dict):
        raise Unreadable("the body is not a JSON object")
    return value


def _parse_leniently(data: bytes) -> Any:
    try:
        # Through UTF-16, so that pairs which came as two escapes become one character again.
        text = json.dumps(json.loads(data), ensure_ascii=False).encode("utf-16-le", "surrogatepass")
        return json.loads(text.decode("utf-16-le", "replace"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the body is not JSON: {type(error).__name__}") from error


def _content(message: JsonObject) -> JsonValue:
    content = message.get("content")
    if isinstance(content, list):
        return [{"type": "text", "text": part} if isinstance(part, str) else part for part in content
                if isinstance(part, str | dict)]  # fmt: skip
    return as_text(content) if content is not None else as_text(message.get("refusal"))


def _thinking(message: JsonObject) -> str | None:
    # `reasoning_content` is DeepSeek's and vLLM's name, `reasoning` OpenRouter's and Ollama's.
    for key in ("reasoning_content", "reasoning", "thinking"):
        if text := as_text(message.get(key)):
            return text
    return None


def _first_choice(reply: JsonObject) -> JsonObject:
    for choice in as_objects(reply.get("choices")):
        if choice.get("index", 0) == 0:
            return choice
    raise Unreadable("the reply has no choices")
