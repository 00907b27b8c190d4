"""Records of other systems as exchanges, one line at a time. Pure; a line that cannot be read is named with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from forge_collector.dialects.dialect import JsonObject, Unreadable, as_objects, as_text
from forge_collector.dialects.openai import parse_object, read_message


@dataclass(frozen=True, slots=True)
class Imported:
    messages: list[JsonObject]
    answer: JsonObject
    model: str | None = None


# Where the original Forge's raw pairs keep their answers, best teacher first, and what it called each teacher.
_RAW_ANSWERS = (("claude_response", "claude"), ("gemini_response", "gemini"), ("local_response", None))
_PLAIN_ANSWERS = ("response", "completion", "answer")


def read_line(line: bytes) -> Imported:
    """`{"messages": […]}` (OpenAI fine-tuning), the original Forge's raw pair, or a prompt and its response.

    Raises Unreadable.
    """
    record = parse_object(line)
    if "messages" in record:
        return _conversation(record)
    prompt = as_text(record.get("prompt"))
    if prompt is None:
        raise Unreadable("there is neither `messages` nor `prompt`")
    for field, teacher in _RAW_ANSWERS:
        if answer := as_text(record.get(field)):
            return _pair(prompt, answer, teacher or as_text(record.get("local_model")))
    for field in _PLAIN_ANSWERS:
        if answer := as_text(record.get(field)):
            return _pair(prompt, answer, as_text(record.get("model")))
    raise Unreadable("the prompt has no answer")


def _conversation(record: JsonObject) -> Imported:
    messages = [read_message(message) for message in as_objects(record["messages"])]
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise Unreadable("the conversation does not end with the assistant's answer")
    return Imported(messages[:-1], messages[-1], as_text(record.get("model")))


def _pair(prompt: str, answer: str, model: str | None) -> Imported:
    return Imported([{"role": "user", "content": prompt}], {"role": "assistant", "content": answer}, model)
