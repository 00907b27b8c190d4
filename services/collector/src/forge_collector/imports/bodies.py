"""A request's and a reply's JSON body as an exchange, through the dialects that read live traffic."""

from __future__ import annotations

import orjson

from forge_collector.dialects.anthropic import Anthropic
from forge_collector.dialects.dialect import Form, JsonObject, Unreadable
from forge_collector.dialects.ollama import Ollama
from forge_collector.dialects.openai import OpenAI
from forge_collector.imports.record import Imported, says_something

_OPENAI, _ANTHROPIC, _OLLAMA = OpenAI(), Anthropic(), Ollama()


def read_bodies(request: JsonObject, reply: JsonObject) -> Imported:
    """Raises Unreadable."""
    form = _form(request, reply)
    if form is None:
        raise Unreadable("the reply is of no known dialect")
    asked = form.asked(orjson.dumps(request))
    reader = form.reader("application/json")
    reader.feed(orjson.dumps(reply))
    answered = reader.answered()
    if not says_something(answered.message):
        raise Unreadable("the answer is empty")
    return Imported(
        [*asked.messages, *answered.turns],
        answered.message,
        model=answered.model or asked.model,
        tools=asked.tools,
        conversation=asked.conversation or answered.conversation,
        finish_reason=answered.finish_reason,
        complete=answered.complete,
        usage=answered.usage,
        sampling=asked.sampling,
        cost_usd=answered.cost_usd,
    )


def _form(request: JsonObject, reply: JsonObject) -> Form | None:
    """By what only a reply of that dialect has."""
    if "choices" in reply:
        path = "/v1/chat/completions" if "messages" in request else "/v1/completions"
        return _OPENAI.form("POST", path)
    if isinstance(reply.get("output"), list):
        return _OPENAI.form("POST", "/v1/responses")
    if isinstance(reply.get("content"), list):
        return _ANTHROPIC.form("POST", "/v1/messages")
    if isinstance(reply.get("message"), dict):
        return _OLLAMA.form("POST", "/api/chat")
    return _OLLAMA.form("POST", "/api/generate") if "done" in reply and "response" in reply else None
