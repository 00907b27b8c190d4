"""The Engie proxy's own ways in: `/invoke`, `/invoke/stream` and its chat completions. Its other paths pass uncaptured.

It wraps an agent that runs tools by itself: what those did stands between the prompt and the answer.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

from forge_collector.dialects.anthropic import content_blocks, flattened, read_messages, read_usage
from forge_collector.dialects.cleaning import clean, flat, with_one_system_prompt
from forge_collector.dialects.dialect import (
    Answered,
    AnswerReader,
    Asked,
    Form,
    JsonObject,
    Unreadable,
    as_amount,
    as_object,
    as_text,
    parse_object,
    to_json,
)
from forge_collector.dialects.ndjson import LineParser
from forge_collector.dialects.openai import ChatCompletions
from forge_collector.dialects.stream import StreamedAnswer
from forge_collector.dialects.whole import WholeAnswer
from forge_common.http.proxy import RequestHead

# Folders of the caller's machine and its permissions stay out.
_SAMPLING = ("allowedTools", "maxTurns", "timeoutMs", "outputFormat")
_KEY_IN_SYSTEM = re.compile(r"sessionKey:\s*(\S+)")
_KEY_LINE = re.compile(r"^sessionKey:[ \t]*\S+[ \t]*(?:\n|\Z)", re.MULTILINE)
# What the proxy calls every conversation that has no name.
_NAMELESS = "default"
_NAME = re.compile(r"[\x21-\x7e]{1,128}")
_MAX_TURNS = "max_turns"


class Engie:
    name = "engie"

    def form(self, method: str, path: str) -> Form | None:
        return _FORMS.get(path) if method == "POST" else None

    def conversation(self, head: RequestHead) -> bytes | None:
        del head
        return None


class Invoke:
    """One prompt, one result."""

    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        prompt = as_text(request.get("prompt"))
        if not prompt:
            raise Unreadable("the request has no prompt")
        system = as_text(request.get("systemPrompt"))
        messages: list[JsonObject] = [{"role": "system", "content": system}] if system else []
        return Asked(
            messages=clean([*messages, {"role": "user", "content": prompt}]),
            model=as_text(request.get("model")),
            sampling={key: request[key] for key in _SAMPLING if key in request},
            conversation=_name(request.get("resumeSession")),
        )

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedInvoke() if "ndjson" in content_type else WholeAnswer(read_result)


def read_result(reply: JsonObject) -> Answered:
    if "result" not in reply:
        raise Unreadable("the reply has no result")
    # `raw`: the proxy could not read its agent's output, so nobody knows whether it is whole.
    is_whole = reply.get("success") is True and reply.get("raw") is not True
    return _answered(reply, [], complete=is_whole)


class StreamedInvoke(StreamedAnswer):
    """The agent's own lines. Its last one is the result; an error of the proxy's leaves the answer partial."""

    def __init__(self) -> None:
        super().__init__(LineParser())
        self._messages: list[JsonObject] = []
        self._reply: JsonObject = {}

    def answer(self) -> Answered:
        is_whole = self.is_done and not self.is_damaged and self._reply.get("is_error") is not True
        return _answered(self._reply, self._messages, complete=is_whole)

    def take(self, event: JsonObject) -> None:
        kind = event.get("type")
        if kind in ("assistant", "user"):
            # What a helper of the agent says is no part of the conversation.
            if not event.get("parent_tool_use_id"):
                self._take_message(as_object(event.get("message")))
        elif kind == "error":
            self.is_damaged = True
        elif kind in ("system", "result"):
            self._reply.update(event)
            self.is_done = kind == "result"

    def _take_message(self, message: JsonObject) -> None:
        """A message of several blocks comes as a line for each of them."""
        role, blocks = message.get("role"), content_blocks(message.get("content"))
        if model := as_text(message.get("model")):
            self._reply["model"] = model
        last = self._messages[-1] if self._messages else {}
        content = last.get("content")
        if last.get("role") == role and isinstance(content, list):
            content.extend(blocks)
        else:
            self._messages.append({"role": role, "content": [*blocks]})


class EngieChat(ChatCompletions):
    """OpenAI's form, with the conversation's name in the body or in a line of the system prompt."""

    def asked(self, body: bytes) -> Asked:
        asked = super().asked(body)
        in_body = asked.sampling.pop("_sessionKey", None)
        asked.messages = with_one_system_prompt(asked.messages)
        asked.conversation = _name(_key_in_system(asked.messages[0]) or in_body)
        return asked


def _key_in_system(first: JsonObject) -> str | None:
    """Taken out of the prompt where it has a line to itself: it says nothing to a model."""
    if first.get("role") != "system":
        return None
    text = flat(first.get("content"))
    found = _KEY_IN_SYSTEM.search(text)
    if found:
        first["content"] = _KEY_LINE.sub("", text).strip()
    return found[1] if found else None


def _answered(reply: JsonObject, messages: list[JsonObject], *, complete: bool) -> Answered:
    """The last message that the agent ended with is the answer; where there was none, the result's text is."""
    turns = flattened(clean(read_messages(messages)))
    answer = turns.pop() if turns and turns[-1]["role"] == "assistant" else _answer(reply.get("result"))
    return Answered(
        message=answer,
        turns=turns,
        finish_reason=_finish_reason(reply),
        model=as_text(reply.get("model")),
        usage=read_usage(reply.get("usage")),
        complete=complete,
        cost_usd=as_amount(reply.get("total_cost_usd", reply.get("cost_usd"))),
        conversation=_name(reply.get("session_id")),
    )


def _answer(result: JsonValue) -> JsonObject:
    text = result if isinstance(result, str | None) else to_json(result)
    return {"role": "assistant", "content": text}


def _finish_reason(reply: JsonObject) -> str | None:
    if reply.get("hitMaxTurns") is True or reply.get("subtype") == "error_max_turns":
        return _MAX_TURNS
    return as_text(reply.get("stop_reason"))


def _name(value: JsonValue) -> str | None:
    name = as_text(value)
    return name if name and name != _NAMELESS and _NAME.fullmatch(name) else None


_FORMS: dict[str, Form] = {
    "/invoke": Invoke(),
    "/invoke/stream": Invoke(),
    "/v1/chat/completions": EngieChat(),
}
