"""ShareGPT's conversations: `from` and `value`, under whatever names its many descendants gave the speakers."""

from __future__ import annotations

from dataclasses import replace

from pydantic import JsonValue

from forge_collector.dialects.dialect import JsonObject, Unreadable, as_objects, as_text
from forge_collector.imports.record import (
    Imported,
    Reading,
    assistant,
    chat,
    moment_of,
    parsed,
    text_of,
    turns,
)


def recognises(record: JsonObject) -> bool:
    return isinstance(record.get("conversations", record.get("conversation")), list)


def read(record: JsonObject) -> Reading:
    said = record.get("conversations", record.get("conversation"))
    messages = chat([_message(turn) for turn in as_objects(said)])
    if (
        (system := text_of(record, "system", "system_prompt"))
        and messages[:1]
        and messages[0]["role"] != "system"
    ):
        messages = [{"role": "system", "content": system}, *messages]
    whole = Imported(
        [],
        {},
        tools=as_objects(parsed(record.get("tools"))) or None,
        model=text_of(record, "model"),
        conversation=text_of(record, "id", "conversation_id"),
        captured_at=moment_of(record, "timestamp", "created_at", "date"),
    )
    if "chosen" in record:
        return _preference(record, whole, messages)
    return turns(whole, messages)


def _preference(record: JsonObject, whole: Imported, messages: list[JsonObject]) -> Reading:
    good, bad = (_said(record.get(name)) for name in ("chosen", "rejected"))
    if not good or not messages:
        raise Unreadable("the preference has no prompt or no chosen answer")
    best = replace(whole, messages=messages, answer=assistant(good), thumb=1)
    if not bad:
        return Reading([best], ["the rejected answer is empty"])
    return Reading([best, replace(whole, messages=messages, answer=assistant(bad), thumb=-1, pair_of=best)])


def _said(value: JsonValue) -> str | None:
    return text_of(value, "value", "content") if isinstance(value, dict) else as_text(value)


def _message(turn: JsonObject) -> JsonObject:
    """A turn as a message; a turn that calls a function says so in JSON."""
    speaker = as_text(turn.get("from")) or as_text(turn.get("role")) or "user"
    said = turn.get("value", turn.get("content"))
    call = parsed(said) if speaker in ("function_call", "tool_call") else None
    if isinstance(call, dict) and isinstance(call.get("name"), str):
        return {"role": "assistant", "tool_calls": [{"type": "function", "function": call}]}
    message: JsonObject = {"role": "assistant" if call is not None else speaker, "content": said}
    return message | {
        key: turn[key] for key in ("weight", "name", "tool_calls", "tool_call_id") if key in turn
    }
