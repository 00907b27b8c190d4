"""Langfuse's exports: observations, of which the generations are model calls, and traces, nested or alone.

Field names come in camel case (UI, API) and in snake case (blob storage); CSV cells and some fields hold JSON as text.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydantic import JsonValue

from forge_collector.dialects.dialect import JsonObject, Unreadable, as_objects, as_text
from forge_collector.imports.bodies import read_bodies
from forge_collector.imports.record import (
    Imported,
    Reading,
    assistant,
    chat,
    count_of,
    moment_of,
    number_of,
    parsed,
    says_something,
    snake,
    text_of,
    usage,
    user,
)

_CALL = "GENERATION"
_MARKS = frozenset(
    {"trace_id", "session_id", "observations", "project_id", "parent_observation_id", "bookmarked"}
)


def recognises(record: JsonObject) -> bool:
    fields = snake(record)
    return not _MARKS.isdisjoint(fields) and ("input" in fields or "type" in fields)


def read(record: JsonObject) -> Reading:
    fields = snake(record)
    kind = (text_of(fields, "type") or _CALL).upper()
    if kind != _CALL:
        raise Unreadable(f"no model call: {kind[:20]}")
    nested = [snake(one) for one in as_objects(parsed(fields.get("observations")))]
    calls = [one for one in nested if (text_of(one, "type") or "").upper() == _CALL]
    if not calls:
        return Reading([_call(fields)])
    reading = Reading([])
    for call in calls:
        try:
            reading.exchanges.append(_call({"session_id": fields.get("session_id"), **call}))
        except Unreadable as error:
            reading.problems.append(error.message)
    if not reading.exchanges:
        raise Unreadable(reading.problems[0])
    return reading


def _call(fields: JsonObject) -> Imported:
    request, reply = parsed(fields.get("input")), parsed(fields.get("output"))
    if reply in (None, "", {}, []):
        raise Unreadable("the call has no output")
    exchange = _exchange(_request(request), reply, fields)
    if not says_something(exchange.answer):
        raise Unreadable("the output is empty")
    parameters = parsed(fields.get("model_parameters"))
    return replace(
        exchange,
        model=exchange.model or text_of(fields, "provided_model_name", "model", "internal_model", "model_id"),
        conversation=text_of(fields, "session_id", "trace_id", "id"),
        captured_at=moment_of(fields, "start_time", "timestamp", "created_at"),
        sampling=parameters if isinstance(parameters, dict) else exchange.sampling,
        usage=exchange.usage or _usage(fields),
        cost_usd=exchange.cost_usd or _cost(fields),
        first_byte_s=_between(fields, "start_time", "completion_start_time"),
        total_s=_between(fields, "start_time", "end_time"),
    )


def _exchange(request: JsonObject, reply: JsonValue, fields: JsonObject) -> Imported:
    if isinstance(reply, dict) and ("choices" in reply or reply.get("type") == "message"):
        return read_bodies(request, reply)
    messages = chat(request["messages"])
    answer = _answer(reply)
    calls = [call for one in as_objects_of_text(fields.get("tool_calls")) if (call := _tool_call(one))]
    if calls and not answer.get("tool_calls"):
        answer = {**answer, "tool_calls": [*calls]}
    tools = as_objects(request.get("tools"))
    return Imported(
        messages,
        answer,
        tools=tools or None,
        finish_reason="tool_calls" if answer.get("tool_calls") else "stop",
    )


def _request(value: JsonValue) -> JsonObject:
    """What was asked as a request with messages: text, one message, a list of them, or a request. Raises Unreadable."""
    if isinstance(value, str) and value.strip():
        return {"messages": [user(value)]}
    if isinstance(value, list):
        flat = [one for item in value for one in (item if isinstance(item, list) else [item])]
        value = {"messages": [user(one) if isinstance(one, str) else one for one in flat]}
    if not isinstance(value, dict):
        raise Unreadable("the input is neither text nor messages")
    if "messages" not in value:
        text = text_of(value, "content", "prompt", "input", "query", "question")
        if text is None:
            raise Unreadable("the input is neither text nor messages")
        return {"messages": [value if "role" in value else user(text)]}
    messages = value["messages"]
    if (
        isinstance(messages, list)
        and isinstance(messages[:1], list)
        and messages
        and isinstance(messages[0], list)
    ):
        value = {**value, "messages": messages[0]}
    if not as_objects(value["messages"]):
        raise Unreadable("the input has no messages")
    return value


def _answer(reply: JsonValue) -> JsonObject:
    """Raises Unreadable."""
    if isinstance(reply, str):
        return assistant(reply)
    if isinstance(reply, list):
        objects = as_objects(reply)
        reply = objects[-1] if objects else None
    if isinstance(reply, dict):
        for key in ("message", "messages"):
            if inner := reply.get(key):
                return _answer(inner)
        if "content" in reply or "tool_calls" in reply or "function_call" in reply:
            return {**chat([reply])[0], "role": "assistant"}
        if text := text_of(reply, "completion", "text", "output", "response", "answer", "result"):
            return assistant(text)
    raise Unreadable("the output is neither text nor a message")


def as_objects_of_text(value: JsonValue) -> list[JsonObject]:
    """The objects of a list whose elements may be JSON as text, in a cell or not."""
    listed = parsed(value)
    return as_objects([parsed(one) for one in listed]) if isinstance(listed, list) else []


def _tool_call(call: JsonObject) -> JsonObject | None:
    if isinstance(call.get("function"), dict):
        return call
    if name := as_text(call.get("name")):
        arguments = call.get("arguments", call.get("args", call.get("input", "")))
        return {
            "id": as_text(call.get("id")),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
    return None


def _usage(fields: JsonObject) -> JsonObject:
    details = parsed(fields.get("usage_details") or fields.get("usage"))
    counts = (snake(details) if isinstance(details, dict) else {}) | {
        key: fields[key]
        for key in (
            "prompt_tokens",
            "completion_tokens",
            "input_usage",
            "output_usage",
            "input_tokens",
            "output_tokens",
        )
        if key in fields
    }
    return usage(
        count_of(counts, "input", "prompt_tokens", "input_tokens", "input_usage"),
        count_of(counts, "output", "completion_tokens", "output_tokens", "output_usage"),
        count_of(counts, "input_cached_tokens", "cache_read_input_tokens"),
    )


def _cost(fields: JsonObject) -> float | None:
    details = parsed(fields.get("cost_details"))
    total = number_of(details, "total") if isinstance(details, dict) else None
    return number_of(fields, "calculated_total_cost", "total_cost") or total


def _between(fields: JsonObject, start: str, end: str) -> float | None:
    begun, ended = moment_of(fields, start), moment_of(fields, end)
    if not isinstance(begun, datetime) or not isinstance(ended, datetime):
        return None
    return max((ended - begun).total_seconds(), 0.0)
