"""Messages and their parts as an exchange keeps them. Bytes of images, sounds and files are left out: nothing could redact them."""

from __future__ import annotations

from pydantic import JsonValue

from forge_collector.dialects.dialect import JsonObject, as_count, as_object, as_objects, as_text

_ROLES = {"developer": "system", "function": "tool"}
# A part's fields that hold bytes as base64, data URLs apart.
_BYTES = frozenset({"data", "file_data"})
# Not a set: a type may be anything, even what has no hash.
_TEXTS = ("text", "input_text", "output_text")


def read_message(message: JsonObject) -> JsonObject:
    """A message with the fields that an exchange keeps, each of the type that it promises."""
    role = as_text(message.get("role")) or "user"
    kept: JsonObject = {"role": _ROLES.get(role, role), "content": _content(message)}
    for key in ("name", "tool_call_id"):
        if text := as_text(message.get(key)):
            kept[key] = text
    if calls := as_objects(message.get("tool_calls")):
        kept["tool_calls"] = list(calls)
    elif isinstance(call := message.get("function_call"), dict):
        # Before there were tools.
        kept["tool_calls"] = [{"type": "function", "function": call}]
    if thinking := read_thinking(message):
        kept["thinking"] = thinking
    return kept


def read_thinking(message: JsonObject) -> str | None:
    # `reasoning_content` is DeepSeek's and vLLM's name, `reasoning` OpenRouter's and Ollama's.
    for key in ("reasoning_content", "reasoning", "thinking"):
        if text := as_text(message.get(key)):
            return text
    return None


def read_part(part: JsonObject) -> JsonObject:
    """One part of a message's content."""
    if part.get("type") == "refusal":
        return text_part(as_text(part.get("refusal")) or "")
    if part.get("type") in _TEXTS:
        return text_part(as_text(part.get("text")) or "")
    if part.get("type") == "input_image":
        image = {"url": part.get("image_url"), "file_id": part.get("file_id"), "detail": part.get("detail")}
        return _without_bytes({"type": "image_url", "image_url": _known(image)})
    if part.get("type") == "input_file":
        return _without_bytes({"type": "file", "file": {k: v for k, v in part.items() if k != "type"}})
    return _without_bytes(part)


def text_part(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def left_out(data: str) -> str:
    """What stands in the place of base64 or of a data URL's."""
    head, comma, rest = data.partition(",") if data.startswith("data:") else ("", "", data)
    return f"{head}{comma}<{len(rest)} characters left out>"


def read_usage(usage: JsonValue) -> JsonObject:
    """What is known; nothing where all counts are zero, as some servers write before they know."""
    usage = as_object(usage)
    details = as_object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    counts = {
        "prompt_tokens": as_count(usage.get("prompt_tokens", usage.get("input_tokens"))),
        "completion_tokens": as_count(usage.get("completion_tokens", usage.get("output_tokens"))),
        # DeepSeek counts them beside the others.
        "cached_tokens": as_count(details.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))),
    }
    return {key: count for key, count in counts.items() if count is not None} if any(counts.values()) else {}


def _content(message: JsonObject) -> JsonValue:
    content = message.get("content")
    if isinstance(content, list):
        return [text_part(part) if isinstance(part, str) else read_part(part) for part in content
                if isinstance(part, str | dict)]  # fmt: skip
    return as_text(content) if content is not None else as_text(message.get("refusal"))


def _known(fields: JsonObject) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None}


def _without_bytes(part: JsonObject) -> JsonObject:
    return {key: _without(key, value) for key, value in part.items()}


def _without(key: str, value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return _without_bytes(value)
    if isinstance(value, str) and (key in _BYTES or value.startswith("data:")):
        return left_out(value)
    return value
