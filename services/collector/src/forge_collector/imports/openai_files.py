"""OpenAI's fine-tuning files: conversations with tools and weights, and preferences between two answers."""

from __future__ import annotations

from dataclasses import replace

from forge_collector.dialects.dialect import JsonObject, Unreadable, as_objects
from forge_collector.imports.record import Imported, Reading, chat, moment_of, says_something, text_of, turns


def recognises(record: JsonObject) -> bool:
    return isinstance(record.get("messages"), list) or "preferred_output" in record


def read(record: JsonObject) -> Reading:
    if "preferred_output" in record:
        return _preference(record)
    return turns(_whole(record), chat(record["messages"]))


def _preference(record: JsonObject) -> Reading:
    asked = record.get("input")
    # Older files have the messages right below `input`.
    body: JsonObject = asked if isinstance(asked, dict) else {"messages": asked}
    messages = chat(body.get("messages"))
    if not any(message["role"] == "user" for message in messages):
        raise Unreadable("the input has no user's message")
    whole = replace(_whole(body), messages=messages)
    good = _output(replace(whole, thumb=1), chat(record["preferred_output"]))
    if good is None:
        raise Unreadable("the preferred output has no answer")
    bad = _output(replace(whole, thumb=-1, pair_of=good), chat(record.get("non_preferred_output")))
    return Reading([good, bad]) if bad else Reading([good], ["the non-preferred output has no answer"])


def _output(whole: Imported, output: list[JsonObject]) -> Imported | None:
    """The output's last answer; its tool calls and their results before it belong to what was asked."""
    answers = [
        i for i, message in enumerate(output) if message["role"] == "assistant" and says_something(message)
    ]
    if not answers:
        return None
    last = answers[-1]
    return replace(whole, messages=[*whole.messages, *output[:last]], answer=output[last])


def _whole(record: JsonObject) -> Imported:
    return Imported(
        [],
        {},
        tools=as_objects(record.get("tools"))
        or [{"type": "function", "function": function} for function in as_objects(record.get("functions"))]
        or None,
        model=text_of(record, "model"),
        conversation=text_of(record, "conversation_id", "session_id"),
        captured_at=moment_of(record, "timestamp", "created_at", "created"),
        task_type=text_of(record, "task_type"),
    )
