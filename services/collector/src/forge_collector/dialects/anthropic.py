"""Anthropic's messages, streaming and not. Other paths, counting tokens and batches among them, pass through uncaptured.

Content blocks become messages in an exchange's shape. Who the caller is, signatures and encrypted blocks are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
from pydantic import JsonValue

from forge_collector.dialects.cleaning import clean, with_one_system_prompt
from forge_collector.dialects.dialect import (
    Answered,
    AnswerReader,
    Asked,
    Form,
    JsonObject,
    Unreadable,
    as_count,
    as_object,
    as_objects,
    as_text,
    parse_object,
    to_json,
)
from forge_collector.dialects.openai.parts import read_part, text_part
from forge_collector.dialects.sse import EventParser
from forge_collector.dialects.stream import StreamedAnswer
from forge_collector.dialects.whole import WholeAnswer
from forge_common.http.proxy import RequestHead

# What is not sampling: the conversation itself, and what identifies the caller or lets somebody in.
_NOT_SAMPLING = frozenset(
    {
        "messages",
        "system",
        "tools",
        "model",
        "stream",
        "metadata",
        "cache_control",
        "container",
        "diagnostics",
    }
    | {"mcp_servers", "user_profile_id", "workspace_id"}
)
_NOT_CONTENT = frozenset({"cache_control", "encrypted_content", "encrypted_index"})
_BILLING = "x-anthropic-billing-header:"
# `metadata.user_id` of Claude Code: user, account and session in one, as words joined by underscores or as JSON.
_SESSION = re.compile(r'(?:_session_|"session_id"\s*:\s*")([0-9A-Za-z-]{1,128})')
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class Anthropic:
    name = "anthropic"

    def form(self, method: str, path: str) -> Form | None:
        return _MESSAGES if method == "POST" and path == "/v1/messages" else None

    def conversation(self, head: RequestHead) -> bytes | None:
        return head.get(b"x-claude-code-session-id")


class Messages:
    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        session = _session(request.get("metadata"))
        system = list(_system(request.get("system")))
        messages = read_messages(as_objects(request.get("messages")))
        if not messages:
            raise Unreadable("the request has no messages")
        is_agent = session is not None or _bills(request.get("system"))
        return Asked(
            messages=flattened(clean(with_one_system_prompt([*system, *messages]), is_agent=is_agent)),
            tools=[_tool(tool) for tool in as_objects(request.get("tools"))] or None,
            model=as_text(request.get("model")),
            sampling={key: value for key, value in request.items() if key not in _NOT_SAMPLING},
            conversation=session,
        )

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedMessage() if "event-stream" in content_type else WholeAnswer(read_answer)


def read_answer(reply: JsonObject) -> Answered:
    if not isinstance(reply.get("content"), list):
        raise Unreadable("the reply has no content")
    answered = _answered(as_objects(reply["content"]), reply)
    answered.complete = answered.finish_reason is not None
    return answered


class StreamedMessage(StreamedAnswer):
    """A reply as events. Blocks come interleaved, told apart by their index."""

    def __init__(self) -> None:
        super().__init__(EventParser())
        self._blocks: dict[int, JsonObject] = {}
        self._deltas: dict[int, list[str]] = {}
        self._reply: JsonObject = {}
        self._usage: JsonObject = {}

    def answer(self) -> Answered:
        blocks = [self._block(index) for index in sorted(self._blocks)]
        answered = _answered(blocks, {**self._reply, "usage": self._usage})
        has_ended = self.is_done or answered.finish_reason is not None
        answered.complete = has_ended and not self.is_damaged
        return answered

    def take(self, event: JsonObject) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._take_delta(event)
        elif kind == "content_block_start":
            self._start(event)
        elif kind in ("message_start", "message_delta"):
            self._take_facts(event)
        elif kind == "message_stop":
            self.is_done = True
        elif kind == "error":
            self.is_damaged = True

    def _start(self, event: JsonObject) -> None:
        index, block = as_count(event.get("index")), event.get("content_block")
        if index is None or not isinstance(block, dict):
            self.is_damaged = True
            return
        self._blocks[index], self._deltas[index] = block, []

    def _take_delta(self, event: JsonObject) -> None:
        delta, index = event.get("delta"), as_count(event.get("index"))
        pieces = None if index is None else self._deltas.get(index)
        if not isinstance(delta, dict) or pieces is None:
            self.is_damaged = True
            return
        # Signatures and citations have no place in an exchange.
        if (key := _DELTAS.get(str(delta.get("type")))) and (text := as_text(delta.get(key))):
            pieces.append(text)

    def _take_facts(self, event: JsonObject) -> None:
        """`message_start` opens the reply; `message_delta` has its end, and counts that replace the first ones."""
        facts = as_object(event.get("message" if event["type"] == "message_start" else "delta"))
        for source in (facts, event):
            counts = as_object(source.get("usage"))
            self._usage.update({key: value for key, value in counts.items() if value is not None})
        self._reply.update({key: facts[key] for key in ("model", "stop_reason") if facts.get(key)})

    def _block(self, index: int) -> JsonObject:
        block, text = self._blocks[index], "".join(self._deltas[index])
        if not text:
            return block
        if block.get("type") in ("text", "thinking"):
            key = str(block["type"])
            return {**block, key: (as_text(block.get(key)) or "") + text}
        return {**block, "input": _parsed(text)}


@dataclass(slots=True)
class _Turn:
    """One assistant message in the making."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[JsonObject] = field(default_factory=list)
    was_text: bool = False

    def take(self, block: JsonObject) -> None:
        kind = str(block.get("type"))
        if text := as_text(block.get("text")):
            # Citations cut one sentence into several blocks; what stands between tools and thoughts is a paragraph.
            self.texts.append(text if self.was_text or not self.texts else f"\n\n{text}")
        if thought := as_text(block.get("thinking")):
            self.thoughts.append(thought)
        if kind.endswith("tool_use"):
            self.calls.append(_call(block))
        self.was_text = kind == "text"

    def message(self) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": "".join(self.texts) or None}
        if self.thoughts:
            message["thinking"] = "\n\n".join(self.thoughts)
        if self.calls:
            message["tool_calls"] = [*self.calls]
        return message

    @property
    def is_empty(self) -> bool:
        return not (self.texts or self.thoughts or self.calls)


def read_messages(messages: Iterable[JsonObject]) -> list[JsonObject]:
    """Messages of Anthropic's wire in the shape of an exchange's, content still in parts."""
    read: list[JsonObject] = []
    for message in messages:
        role, blocks = as_text(message.get("role")) or "user", content_blocks(message.get("content"))
        if role == "assistant":
            read += _assistant(blocks)
        else:
            read += [_result(block) for block in blocks if _is_result(block)]
            if parts := [_part(block) for block in blocks if not _is_result(block)]:
                read.append({"role": role, "content": [*parts]})
    return read


def flattened(messages: list[JsonObject]) -> list[JsonObject]:
    """Content that is nothing but text as one text, so that a message reads the same however a client cuts it."""
    return [{**message, "content": _flattened(message.get("content"))} for message in messages]


def read_usage(usage: JsonValue) -> JsonObject:
    """Anthropic counts what it cached beside the input; an exchange counts it within."""
    if not isinstance(usage, dict):
        return {}
    cached = as_count(usage.get("cache_read_input_tokens"))
    fresh = as_count(usage.get("input_tokens"))
    written = as_count(usage.get("cache_creation_input_tokens"))
    return {
        "prompt_tokens": None if fresh is None else fresh + (cached or 0) + (written or 0),
        "completion_tokens": as_count(usage.get("output_tokens")),
        "cached_tokens": cached,
    }


def _answered(blocks: list[JsonObject], reply: JsonObject) -> Answered:
    *turns, answer = _assistant(blocks) or [_Turn().message()]
    if answer["role"] != "assistant":
        turns, answer = [*turns, answer], _Turn().message()
    return Answered(
        message=answer,
        turns=flattened(turns),
        finish_reason=as_text(reply.get("stop_reason")),
        model=as_text(reply.get("model")),
        usage=read_usage(reply.get("usage")),
    )


def _assistant(blocks: list[JsonObject]) -> list[JsonObject]:
    """Usually one message; a result of a tool that the vendor ran itself stands between two."""
    messages: list[JsonObject] = []
    turn = _Turn()
    for block in blocks:
        if not _is_result(block):
            turn.take(block)
            continue
        if not turn.is_empty:
            messages.append(turn.message())
            turn = _Turn()
        messages.append(_result(block))
    return messages if turn.is_empty else [*messages, turn.message()]


def _is_result(block: JsonObject) -> bool:
    return isinstance(block.get("tool_use_id"), str)


def _result(block: JsonObject) -> JsonObject:
    content = block.get("content")
    blocks = [content] if isinstance(content, dict) else content_blocks(content)
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": [_part(part) for part in blocks]}


def _call(block: JsonObject) -> JsonObject:
    # The same text for the same input, whether it was streamed, answered whole or sent back in the next request.
    given = block.get("input")
    arguments = given if isinstance(given, str) else to_json({} if given is None else given)
    function: JsonObject = {"name": as_text(block.get("name")) or "", "arguments": arguments}
    return {"id": as_text(block.get("id")), "type": "function", "function": function}


def _tool(tool: JsonObject) -> JsonObject:
    """A function as OpenAI writes one; a tool that the vendor defines has no schema and stays as it is."""
    if "input_schema" not in tool:
        return {key: value for key, value in tool.items() if key not in _NOT_CONTENT}
    function: JsonObject = {"name": tool.get("name")}
    if description := as_text(tool.get("description")):
        function["description"] = description
    return {"type": "function", "function": {**function, "parameters": tool["input_schema"]}}


def content_blocks(content: JsonValue) -> list[JsonObject]:
    """Content that is a mere text is one block of it."""
    if isinstance(content, str):
        return [text_part(content)]
    parts = content if isinstance(content, list) else []
    return [text_part(part) if isinstance(part, str) else part
            for part in parts if isinstance(part, str | dict)]  # fmt: skip


def _part(block: JsonObject) -> JsonObject:
    source = as_object(block.get("source"))
    if block.get("type") == "image" and source.get("type") in ("base64", "url"):
        url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
        return read_part({"type": "image_url", "image_url": {"url": url}})
    if block.get("type") == "document" and source.get("type") == "text":
        return text_part(as_text(source.get("data")) or "")
    return read_part({key: value for key, value in block.items() if key not in _NOT_CONTENT})


def _flattened(content: JsonValue) -> JsonValue:
    parts = as_objects(content)
    if not isinstance(content, list) or any(part.get("type") != "text" for part in parts):
        return content
    return "\n\n".join(str(part["text"]) for part in parts)


def _system(system: JsonValue) -> Iterable[JsonObject]:
    """The system prompt without the line by which Claude Code is billed: it is another one in every request."""
    for block in content_blocks(system):
        text = as_text(block.get("text")) or ""
        if text.startswith(_BILLING):
            text = text.partition("\n")[2].lstrip()
        if text:
            yield {"role": "system", "content": text}


def _bills(system: JsonValue) -> bool:
    return any(
        (as_text(block.get("text")) or "").startswith(_BILLING) for block in content_blocks(system)[:1]
    )


def _session(metadata: JsonValue) -> str | None:
    user = as_text(metadata.get("user_id")) if isinstance(metadata, dict) else None
    found = _SESSION.search(user) if user else None
    return found[1] if found else None


def _parsed(text: str) -> JsonValue:
    """A call's input; as it came where it broke off."""
    try:
        parsed: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return parsed


_MESSAGES = Messages()
