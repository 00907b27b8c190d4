"""The items of OpenAI's responses, asked and answered, as messages: what one side says in a row becomes one message.

Tools that run at the upstream (its searches, its interpreter) leave no call: nobody else could answer them.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from forge_collector.dialects.dialect import JsonObject, as_objects, as_text, to_json
from forge_collector.dialects.openai.parts import read_message, read_part

# What a call says beside what is called.
_NOT_CALLED = frozenset({"id", "call_id", "type", "status"})


def read_items(items: Iterable[JsonObject]) -> list[JsonObject]:
    """Messages of a request's input."""
    messages: list[JsonObject] = []
    for item in items:
        if message := _message(item):
            messages.append(message)
        elif _is_assistants(item):
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            _add(messages[-1], item)
    return messages


def read_output(items: Iterable[JsonObject]) -> JsonObject:
    """The one message that a response's output makes."""
    answer: JsonObject = {"role": "assistant", "content": None}
    for item in items:
        if _is_assistants(item):
            _add(answer, item)
    return answer


def _message(item: JsonObject) -> JsonObject | None:
    """What somebody else than the assistant says."""
    kind = as_text(item.get("type")) or "message"
    if kind == "message" and item.get("role") != "assistant":
        return _simplified(read_message(item))
    if kind.endswith("_output") and (name := _call_id(item)):
        return _simplified({"role": "tool", "content": _output(item.get("output")), "tool_call_id": name})
    return None


def _is_assistants(item: JsonObject) -> bool:
    kind = as_text(item.get("type")) or "message"
    if kind == "message":
        return item.get("role") == "assistant"
    return kind == "reasoning" or (kind.endswith("_call") and "call_id" in item)


def _add(message: JsonObject, item: JsonObject) -> None:
    kind = as_text(item.get("type")) or "message"
    if kind == "message":
        _add_text(message, "content", _text(item.get("content"), between=""))
    elif kind == "reasoning":
        thinking = _text(item.get("content")) or _text(item.get("summary"))
        _add_text(message, "thinking", thinking)
    else:
        calls = message.setdefault("tool_calls", [])
        assert isinstance(calls, list)
        calls.append(_call(kind, item))


def _add_text(message: JsonObject, key: str, text: str) -> None:
    if text:
        earlier = message.get(key)
        message[key] = f"{earlier}\n\n{text}" if earlier else text


def _text(content: JsonValue, between: str = "\n\n") -> str:
    if isinstance(content, str):
        return content
    texts = (as_text(part.get("text")) or as_text(part.get("refusal")) for part in as_objects(content))
    return between.join(text for text in texts if text)


def _call(kind: str, item: JsonObject) -> JsonObject:
    """A call in the shape of a chat's tool calls; of the kinds that chats do not have, with all that the item says."""
    if kind == "function_call":
        kind, called = "function", {key: as_text(item.get(key)) or "" for key in ("name", "arguments")}
    elif kind == "custom_tool_call":
        kind, called = "custom", {key: as_text(item.get(key)) or "" for key in ("name", "input")}
    else:
        called = {key: value for key, value in item.items() if key not in _NOT_CALLED}  # type: ignore[misc]
    call: JsonObject = {"type": kind, kind: dict(called)}
    return {"id": name, **call} if (name := _call_id(item)) else call


def _call_id(item: JsonObject) -> str | None:
    return as_text(item.get("call_id")) or as_text(item.get("id"))


def _output(output: JsonValue) -> JsonValue:
    if isinstance(output, list):
        return [read_part(part) for part in as_objects(output)]
    return output if isinstance(output, str) else to_json(output)


def _simplified(message: JsonObject) -> JsonObject:
    """A single text as text, which is how the same words come from a client that sends no parts."""
    content = message["content"]
    if isinstance(content, list) and len(content) == 1:
        part = content[0]
        if isinstance(part, dict) and part.get("type") == "text":
            message["content"] = part["text"]
    return message
