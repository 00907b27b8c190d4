"""Ollama's native chat and generate, streaming and not, and its paths in others' dialects. The rest of /api passes uncaptured.

A request without a prompt loads or unloads a model and is no exchange. The token context of `generate` is not kept: it can be
read back into text that nobody redacted.
"""

from __future__ import annotations

import hashlib

from pydantic import JsonValue

from forge_collector.dialects.anthropic import Anthropic, Messages
from forge_collector.dialects.cleaning import clean
from forge_collector.dialects.dialect import (
    Answered,
    AnswerReader,
    Asked,
    Form,
    JsonObject,
    NoExchange,
    Unreadable,
    as_count,
    as_object,
    as_objects,
    as_text,
    parse_object,
    to_json,
)
from forge_collector.dialects.ndjson import LineParser
from forge_collector.dialects.openai import ChatCompletions, session
from forge_collector.dialects.openai.completions import Completions
from forge_collector.dialects.openai.parts import left_out, text_part
from forge_collector.dialects.openai.responses import Responses
from forge_collector.dialects.stream import StreamedAnswer
from forge_collector.dialects.whole import WholeAnswer
from forge_common.http.proxy import RequestHead

_NOT_SAMPLING = frozenset(
    {"model", "messages", "tools", "stream", "keep_alive", "options", "prompt", "system", "images", "context"}
)


class Ollama:
    name = "ollama"

    def form(self, method: str, path: str) -> Form | None:
        return _FORMS.get(path) if method == "POST" else None

    def conversation(self, head: RequestHead) -> bytes | None:
        return session(head) or Anthropic().conversation(head)


class Chat:
    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        messages = clean([read_message(message) for message in as_objects(request.get("messages"))])
        if not messages:
            raise NoExchange("the request has no messages: it loads or unloads the model")
        return _asked(request, messages)

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedReply() if "ndjson" in content_type else WholeAnswer(read_reply)


class Generate:
    """A prompt as one user message. `sampling` keeps what was around it: `raw` or `template`, and the `suffix` to lead up to."""

    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        prompt = as_text(request.get("prompt"))
        if not prompt:
            raise NoExchange("the request has no prompt: it loads or unloads the model")
        messages = [read_message({"role": "user", "content": prompt, "images": request.get("images")})]
        if system := as_text(request.get("system")):
            messages.insert(0, {"role": "system", "content": system})
        asked = _asked(request, messages)
        if context := request.get("context"):
            asked.continues = _digest(context)
            asked.sampling["context_tokens"] = len(context) if isinstance(context, list) else None
        return asked

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedReply() if "ndjson" in content_type else WholeAnswer(read_reply)


class _Reply:
    """What the objects of a reply make: pieces of text, whole tool calls, and at last the counts."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[JsonValue] = []
        self._last: JsonObject = {}

    def take(self, piece: JsonObject) -> bool:
        """Whether it was the last."""
        self._last = piece
        # `generate` writes beside the rest what `chat` puts into a message.
        message = as_object(piece.get("message"))
        if text := as_text(message.get("content")) or as_text(piece.get("response")):
            self._content.append(text)
        if thinking := as_text(message.get("thinking")) or as_text(piece.get("thinking")):
            self._thinking.append(thinking)
        if calls := message.get("tool_calls"):
            self._calls += [_call(call) for call in as_objects(calls)]
        return piece.get("done") is True

    def answered(self) -> Answered:
        last = self._last
        message: JsonObject = {"role": "assistant", "content": "".join(self._content) or None}
        if self._thinking:
            message["thinking"] = "".join(self._thinking)
        if self._calls:
            message["tool_calls"] = self._calls
        counts = {
            "prompt_tokens": as_count(last.get("prompt_eval_count")),
            "completion_tokens": as_count(last.get("eval_count")),
        }
        return Answered(
            message=message,
            finish_reason=as_text(last.get("done_reason")),
            model=as_text(last.get("model")),
            usage={key: count for key, count in counts.items() if count is not None},
            complete=last.get("done") is True,
            id=_digest(context) if (context := last.get("context")) else None,
        )


def read_reply(reply: JsonObject) -> Answered:
    if not {"message", "response"} & reply.keys():
        raise Unreadable("the reply has no message")
    whole = _Reply()
    whole.take(reply)
    return whole.answered()


class StreamedReply(StreamedAnswer):
    """Lines of JSON. After an error line, and where the model's output was no text, the last one never comes."""

    def __init__(self) -> None:
        super().__init__(LineParser())
        self._reply = _Reply()

    def take(self, event: JsonObject) -> None:
        if "error" in event:
            self.is_damaged = True
        else:
            self.is_done = self._reply.take(event)

    def answer(self) -> Answered:
        answered = self._reply.answered()
        answered.complete = answered.complete and not self.is_damaged
        return answered


def read_message(message: JsonObject) -> JsonObject:
    text = as_text(message.get("content"))
    kept: JsonObject = {"role": as_text(message.get("role")) or "user", "content": text}
    images = message.get("images")
    if isinstance(images, list) and images:
        pictures = [_picture(image) for image in images if isinstance(image, str)]
        kept["content"] = [*([text_part(text)] if text else []), *pictures]
    if thinking := as_text(message.get("thinking")):
        kept["thinking"] = thinking
    if calls := as_objects(message.get("tool_calls")):
        kept["tool_calls"] = [_call(call) for call in calls]
    for key, name in (("name", "tool_name"), ("tool_call_id", "tool_call_id")):
        if given := as_text(message.get(name)):
            kept[key] = given
    return kept


def _asked(request: JsonObject, messages: list[JsonObject]) -> Asked:
    other = {key: value for key, value in request.items() if key not in _NOT_SAMPLING}
    return Asked(
        messages=messages,
        tools=as_objects(request.get("tools")) or None,
        model=as_text(request.get("model")),
        sampling=as_object(request.get("options")) | other,
    )


def _call(call: JsonObject) -> JsonObject:
    """In the shape of a chat's tool calls: the arguments as JSON text. Most servers of this dialect give no id."""
    function = as_object(call.get("function"))
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else to_json(arguments or {})
    shaped: JsonObject = {
        "type": "function",
        "function": {"name": as_text(function.get("name")) or "", "arguments": text},
    }
    return {"id": name, **shaped} if (name := as_text(call.get("id"))) else shaped


def _picture(base64: str) -> JsonObject:
    return {"type": "image_url", "image_url": {"url": f"data:;base64,{left_out(base64)}"}}


def _digest(context: JsonValue) -> str:
    return "ctx_" + hashlib.sha256(to_json(context).encode()).hexdigest()[:24]


_FORMS: dict[str, Form] = {
    "/api/chat": Chat(),
    "/api/generate": Generate(),
    "/v1/chat/completions": ChatCompletions(),
    # Ollama puts the model's template around these prompts, too.
    "/v1/completions": Completions(is_raw=False),
    "/v1/responses": Responses(),
    "/v1/messages": Messages(),
}
