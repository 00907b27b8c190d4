"""OpenAI's chat completions, streaming and not, as everybody who is compatible with them writes them.

Tolerant by design: a field of an unexpected type is left out of the copy rather than refused.
"""

from __future__ import annotations

from pydantic import JsonValue

from forge_collector.dialects.cleaning import clean
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
from forge_collector.dialects.openai.parts import read_message, read_thinking, read_usage
from forge_collector.dialects.sse import EventParser
from forge_collector.dialects.stream import StreamedAnswer
from forge_collector.dialects.whole import WholeAnswer

# What is not sampling: the conversation itself, and what identifies the caller.
NOT_SAMPLING = frozenset(
    {"model", "stream", "stream_options", "user", "metadata", "safety_identifier", "prompt_cache_key"}
)
_CONVERSATION = NOT_SAMPLING | {"messages", "tools", "functions"}


class ChatCompletions:
    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        messages = clean([read_message(message) for message in as_objects(request.get("messages"))])
        if not messages:
            raise Unreadable("the request has no messages")
        tools = as_objects(request.get("tools"))
        tools += [{"type": "function", "function": each} for each in as_objects(request.get("functions"))]
        return Asked(
            messages=messages,
            tools=tools or None,
            model=as_text(request.get("model")),
            sampling={key: value for key, value in request.items() if key not in _CONVERSATION},
        )

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedCompletion() if "event-stream" in content_type else WholeCompletion()


class WholeCompletion(WholeAnswer):
    def __init__(self) -> None:
        super().__init__(read_completion)


def read_completion(reply: JsonObject) -> Answered:
    choices = sorted(as_objects(reply.get("choices")), key=_index)
    messages = [message for choice in choices if (message := _message(choice))]
    # Some relays say 200 before they know that their own upstream fails.
    is_error = isinstance(reply.get("error"), dict)
    if not messages and not is_error:
        raise Unreadable("the reply has no message")
    finish_reason = as_text(choices[0].get("finish_reason")) if choices else None
    return Answered(
        message=messages[0] if messages else {"role": "assistant", "content": None},
        finish_reason=finish_reason,
        model=as_text(reply.get("model")),
        usage=read_usage(reply.get("usage")),
        complete=finish_reason is not None and not is_error,
        alternatives=messages[1:],
        cost_usd=_cost(reply.get("usage")),
    )


class StreamedCompletion(StreamedAnswer):
    """A reply in chunks, of which each may hold pieces of several choices."""

    def __init__(self) -> None:
        super().__init__(EventParser())
        self._choices: dict[int, _Choice] = {}
        self._model: str | None = None
        self._usage: JsonObject = {}
        self._cost: float | None = None

    def take(self, event: JsonObject) -> None:
        self._model = as_text(event.get("model")) or self._model
        if event.get("error"):
            self.is_damaged = True
        if usage := event.get("usage"):
            self._usage = read_usage(usage) or self._usage
            self._cost = _cost(usage) or self._cost
        for choice in as_objects(event.get("choices")):
            index = _index(choice)
            known = self._choices.get(index)
            if known is None:
                known = self._choices[index] = _Choice()
            known.take(choice)

    def answer(self) -> Answered:
        choices = [self._choices[index] for index in sorted(self._choices)] or [_Choice()]
        is_over = self.is_done or all(choice.finish_reason for choice in choices)
        return Answered(
            message=choices[0].message(),
            finish_reason=choices[0].finish_reason,
            model=self._model,
            usage=self._usage,
            complete=is_over and not self.is_damaged,
            alternatives=[choice.message() for choice in choices[1:]],
            cost_usd=self._cost,
        )


class _Choice:
    """One of the answers while it comes in pieces."""

    __slots__ = ("_calls", "_content", "_thinking", "finish_reason")

    def __init__(self) -> None:
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[_Call] = []
        self.finish_reason: str | None = None

    def take(self, choice: JsonObject) -> None:
        if reason := as_text(choice.get("finish_reason")):
            self.finish_reason = reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            # A legacy completion's chunk.
            delta = {"content": choice.get("text")}
        if text := as_text(delta.get("content")) or as_text(delta.get("refusal")):
            self._content.append(text)
            if len(delta) == 1:
                # Nearly all of them; this is worth a third of what a chunk costs.
                return
        if thinking := read_thinking(delta):
            self._thinking.append(thinking)
        for call in as_objects(delta.get("tool_calls")):
            self._take_call(call)
        if isinstance(function := delta.get("function_call"), dict):
            self._take_call({"index": 0, "function": function})

    def message(self) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": "".join(self._content) or None}
        if self._thinking:
            message["thinking"] = "".join(self._thinking)
        if self._calls:
            message["tool_calls"] = [
                call.whole() for call in sorted(self._calls, key=lambda call: call.index)
            ]
        return message

    def _take_call(self, delta: JsonObject) -> None:
        # Some servers leave the index out, others give each call the same: then an id that is new opens a new call.
        index, name = as_count(delta.get("index")), as_text(delta.get("id")) or None
        fitting = [call for call in self._calls if index is None or call.index == index]
        last = fitting[-1] if fitting else None
        if last is None or (name is not None and name != last.id and (index is None or last.id is not None)):
            last = _Call(len(self._calls) if index is None else index)
            self._calls.append(last)
        last.take(delta, name)


class _Call:
    """One tool call while it comes in pieces."""

    __slots__ = ("_arguments", "_name", "id", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id: str | None = None
        self._name: list[str] = []
        self._arguments: list[str] = []

    def take(self, delta: JsonObject, name: str | None) -> None:
        self.id = name or self.id
        function = as_object(delta.get("function"))
        self._name.append(as_text(function.get("name")) or "")
        self._arguments.append(as_text(function.get("arguments")) or "")

    def whole(self) -> JsonObject:
        function: JsonObject = {"name": "".join(self._name), "arguments": "".join(self._arguments)}
        call: JsonObject = {"type": "function", "function": function}
        return call if self.id is None else {"id": self.id, **call}


def _index(choice: JsonObject) -> int:
    return as_count(choice.get("index")) or 0


def _message(choice: JsonObject) -> JsonObject | None:
    message = choice.get("message")
    if isinstance(message, dict):
        return read_message({**message, "role": "assistant"})
    text = as_text(choice.get("text"))
    return None if text is None else {"role": "assistant", "content": text}


def _cost(usage: JsonValue) -> float | None:
    # OpenRouter's name, in credits that are US dollars.
    return as_amount(as_object(usage).get("cost"))
