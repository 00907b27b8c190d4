"""OpenAI's responses, streaming and not. Their items become messages in `items.py`.

A response that is worked on in the background, and one that is only fetched, is no answer here.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

from forge_collector.dialects.dialect import (
    Answered,
    AnswerReader,
    Asked,
    JsonObject,
    Unreadable,
    as_amount,
    as_count,
    as_object,
    as_objects,
    as_text,
    parse_object,
)
from forge_collector.dialects.openai.chat import NOT_SAMPLING
from forge_collector.dialects.openai.items import read_items, read_output
from forge_collector.dialects.openai.parts import read_usage, text_part
from forge_collector.dialects.sse import EventParser
from forge_collector.dialects.stream import StreamedAnswer
from forge_collector.dialects.whole import WholeAnswer

_CONVERSATION = NOT_SAMPLING | {"input", "instructions", "tools", "conversation"}
_REASONS = {"max_output_tokens": "length"}
# Where a delta's text goes in its item, and which of the event's fields counts the part.
_DELTAS = {
    "response.output_text.delta": ("content", "content_index"),
    "response.refusal.delta": ("content", "content_index"),
    "response.reasoning_text.delta": ("content", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.function_call_arguments.delta": ("arguments", None),
    "response.custom_tool_call_input.delta": ("input", None),
}
_ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_ID = re.compile(r"[\w-]{1,128}", re.ASCII)


class Responses:
    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        given = request.get("input")
        messages = read_items(
            [{"role": "user", "content": given}] if isinstance(given, str) else as_objects(given)
        )
        if instructions := as_text(request.get("instructions")):
            messages.insert(0, {"role": "system", "content": instructions})
        if not messages:
            raise Unreadable("the request has no input")
        return Asked(
            messages=messages,
            tools=[_tool(tool) for tool in as_objects(request.get("tools"))] or None,
            model=as_text(request.get("model")),
            # With `previous_response_id` among them: it tells that the messages are not all that the model saw.
            sampling={key: value for key, value in request.items() if key not in _CONVERSATION},
            conversation=_conversation(request.get("conversation")),
            continues=_id(request.get("previous_response_id")),
        )

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedResponse() if "event-stream" in content_type else WholeAnswer(read_response)


def read_response(reply: JsonObject) -> Answered:
    if not isinstance(reply.get("output"), list):
        raise Unreadable("the reply has no output")
    return _answered(reply, as_objects(reply["output"]))


class StreamedResponse(StreamedAnswer):
    """A reply in semantic events. The last one repeats the whole; until it comes, the deltas are what is known."""

    def __init__(self) -> None:
        super().__init__(EventParser())
        self._items: dict[int, _Item] = {}
        self._response: JsonObject = {}

    def take(self, event: JsonObject) -> None:
        kind = as_text(event.get("type"))
        if kind in _DELTAS:
            self._item(event).add(*_DELTAS[kind], event)
        elif kind in _ITEMS:
            self._item(event).given(as_object(event.get("item")), is_whole=kind.endswith("done"))
        elif "response" in event:
            self._response = as_object(event["response"])
            self.is_done = kind in _ENDS
        elif kind == "error" or event.get("error"):
            self.is_damaged = True

    def answer(self) -> Answered:
        # Some servers send the end without the output.
        items = as_objects(self._response.get("output")) if self.is_done else []
        if not items:
            items = [self._items[index].whole() for index in sorted(self._items)]
        answered = _answered(self._response, items)
        answered.complete = answered.complete and self.is_done and not self.is_damaged
        return answered

    def _item(self, event: JsonObject) -> _Item:
        index = as_count(event.get("output_index")) or 0
        known = self._items.get(index)
        if known is None:
            known = self._items[index] = _Item()
        return known


class _Item:
    """An item of the output while it comes in pieces."""

    __slots__ = ("_given", "_texts")

    def __init__(self) -> None:
        self._given: JsonObject = {"type": "message", "role": "assistant"}
        self._texts: dict[tuple[str, int | None], list[str]] = {}

    def given(self, item: JsonObject, *, is_whole: bool) -> None:
        self._given = item
        if is_whole:
            self._texts.clear()

    def add(self, field: str, counter: str | None, event: JsonObject) -> None:
        if text := as_text(event.get("delta")):
            index = None if counter is None else as_count(event.get(counter)) or 0
            self._texts.setdefault((field, index), []).append(text)

    def whole(self) -> JsonObject:
        fields: JsonObject = {}
        for (field, index), pieces in sorted(self._texts.items(), key=lambda entry: entry[0][1] or 0):
            text = "".join(pieces)
            if index is None:
                fields[field] = text
            else:
                fields[field] = [*as_objects(fields.get(field)), text_part(text)]
        return self._given | fields


def _answered(response: JsonObject, items: list[JsonObject]) -> Answered:
    message = read_output(items)
    status = as_text(response.get("status"))
    usage = response.get("usage")
    return Answered(
        message=message,
        finish_reason=_finish_reason(status, response, has_calls="tool_calls" in message),
        model=as_text(response.get("model")),
        usage=read_usage(usage),
        complete=status in ("completed", "incomplete"),
        cost_usd=as_amount(as_object(usage).get("cost")),
        id=_id(response.get("id")),
    )


def _finish_reason(status: str | None, response: JsonObject, *, has_calls: bool) -> str | None:
    if status == "completed":
        return "tool_calls" if has_calls else "stop"
    reason = as_text(as_object(response.get("incomplete_details")).get("reason"))
    return _REASONS.get(reason, reason) if reason else None


def _tool(tool: JsonObject) -> JsonObject:
    """A function in a chat's shape; other tools as they are."""
    if tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _conversation(given: JsonValue) -> str | None:
    return _id(as_object(given).get("id") or given)


def _id(given: JsonValue) -> str | None:
    """An id and not something that a person wrote: what names a conversation is not redacted."""
    return given if isinstance(given, str) and _ID.fullmatch(given) else None
