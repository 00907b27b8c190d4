"""Asking an OpenAI-compatible model ourselves, streamed. Retries nothing and stores nothing; its key goes nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from forge_collector.dialects.dialect import (
    Answered,
    AnswerReader,
    JsonObject,
    Unreadable,
    as_objects,
    as_text,
    parse_object,
)
from forge_collector.dialects.openai import ChatCompletions
from forge_collector.dialects.openai.parts import read_thinking
from forge_collector.dialects.sse import EventParser
from forge_common.contracts.base import utc_now
from forge_common.contracts.exchange import Message
from forge_common.errors import DependencyDown, ForgeError, Invalid
from forge_common.http.proxy import Upstream

CONNECT_S = 5.0
# A server that never ends must not fill the memory.
MOST_BYTES = 32 * 1024 * 1024
MOST_ERROR_BYTES = 64 * 1024
A_DAY_S = 86_400.0
# OpenAI's own newer models refuse `max_tokens`; everybody else knows it.
_OPENAI_HOST = "api.openai.com"


class AskFailed(ForgeError):
    """A model gave no whole answer. `may_have_cost` tells whether it may have read the prompt and written tokens."""

    may_have_cost = False

    def __init__(self, message: str, *, retry_after_s: float = 0.0, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.retry_after_s = retry_after_s


class ModelUnreachable(AskFailed, DependencyDown):
    """Nobody listens there."""


class ModelBusy(AskFailed, DependencyDown):
    """The server is in trouble, or has had enough of us: 429 and 5xx."""


class AnswerBrokeOff(AskFailed, DependencyDown):
    """The answer began and did not end, or took too long."""

    may_have_cost = True


class ModelRefused(AskFailed):
    """The server will not answer this, now or later."""

    status = 502


class ModelForbidden(AskFailed, DependencyDown):
    """The key is wrong: no prompt will be answered until somebody mends it."""

    status = 502


class ModelUnknown(AskFailed, DependencyDown):
    """There is no such model, or not yet."""

    status = 502


@dataclass(frozen=True, slots=True)
class ChatModel:
    """`url` is what `/chat/completions` is put behind. `is_ours`: the gateway's, reached without a proxy between."""

    url: str
    name: str
    key: str | None = field(default=None, repr=False)
    is_ours: bool = False

    @classmethod
    def at(cls, url: str, name: str, key: str | None) -> ChatModel:
        """Somebody else's model. Raises Invalid for a URL that could not be kept in a record as it is."""
        if not _is_plain(url):
            raise Invalid(
                "the teacher's URL is not a plain http or https URL",
                code="teacher_url_invalid",
                fix="give it as https://host/v1, and its key in FORGE_TEACHER_KEY",
            )
        return cls(url.rstrip("/"), name, key)

    @property
    def upstream(self) -> str:
        """As exchanges name it: scheme, host and port."""
        return Upstream.parse(self.url).origin


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer; seconds since the question left."""

    answered: Answered
    first_token_s: float | None
    total_s: float


def _is_plain(url: str) -> bool:
    try:
        Upstream.parse(url)
    except Invalid:
        return False
    parts = urlsplit(url)
    return not ("@" in parts.netloc or parts.query or parts.fragment)


# Text and thinking, one of them empty.
OnDelta = Callable[[str, str], None]


def question(
    model: ChatModel,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    tools: Sequence[JsonObject] = (),
    sampling: JsonObject | None = None,
) -> JsonObject:
    """The request's body. Tools are offered as they were, and never run."""
    limit = "max_completion_tokens" if urlsplit(model.url).hostname == _OPENAI_HOST else "max_tokens"
    body: JsonObject = {
        **(sampling or {}),
        "model": model.name,
        "messages": [_message(message) for message in messages],
        limit: max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools:
        body["tools"] = list(tools)
    return body


async def ask(
    model: ChatModel,
    body: JsonObject,
    *,
    patience_s: float,
    on_delta: OnDelta = lambda _text, _thinking: None,
) -> Completion:
    """The whole answer, its pieces handed to `on_delta` as they come. Raises AskFailed."""
    try:
        async with asyncio.timeout(patience_s), _client(model, patience_s) as client:
            return await _stream(client, body, on_delta)
    except TimeoutError as error:
        raise AnswerBrokeOff(f"no whole answer within {patience_s:.0f} s") from error
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise ModelUnreachable(
            f"{model.upstream} does not answer", fix="is it up, and is its URL right?"
        ) from error
    except httpx2.HTTPError as error:
        raise AnswerBrokeOff(f"the answer broke off ({type(error).__name__})") from error
    except AskFailed as error:
        # Some servers quote the key that they refuse.
        if model.key and model.key in error.message:
            raise type(error)(
                error.message.replace(model.key, "…"), retry_after_s=error.retry_after_s, fix=error.fix
            ) from None
        raise


def _client(model: ChatModel, patience_s: float) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {model.key}"} if model.key else {}
    timeout = httpx2.Timeout(patience_s, connect=CONNECT_S)
    return httpx2.AsyncClient(
        base_url=f"{model.url}/", headers=headers, timeout=timeout, trust_env=not model.is_ours
    )


async def _stream(client: httpx2.AsyncClient, body: JsonObject, on_delta: OnDelta) -> Completion:
    started, size = time.monotonic(), 0
    async with client.stream("POST", "chat/completions", json=body) as reply:
        if not reply.is_success:
            raise await _failure(reply)
        reading = _Reading(reply.headers.get("content-type", ""), started, on_delta)
        async for data in reply.aiter_bytes():
            size += len(data)
            if size > MOST_BYTES:
                raise AnswerBrokeOff(f"the answer is larger than {MOST_BYTES >> 20} MB")
            reading.feed(data)
            if reading.is_done:
                break
    return reading.completion()


class _Reading:
    """One reply: its pieces for the onlooker, and the whole of it by the dialect that captured replies are read with."""

    def __init__(self, content_type: str, started: float, on_delta: OnDelta) -> None:
        self._reader: AnswerReader = ChatCompletions().reader(content_type)
        self._events = EventParser() if "event-stream" in content_type else None
        self._started, self._on_delta = started, on_delta
        self._first_token_s: float | None = None

    @property
    def is_done(self) -> bool:
        return self._reader.is_done

    def feed(self, data: bytes) -> None:
        self._reader.feed(data)
        for event in self._events.feed(data) if self._events else ():
            text, thinking = delta_of(event)
            if text or thinking:
                self._show(text, thinking)

    def completion(self) -> Completion:
        try:
            answered = self._reader.answered()
        except Unreadable as error:
            raise AnswerBrokeOff(f"the reply is no chat completion: {error.message}") from error
        if not answered.complete:
            raise AnswerBrokeOff("the answer broke off")
        if self._events is None:
            # It came in one piece: then the first token was the last.
            self._show(
                text_of(answered.message.get("content")), as_text(answered.message.get("thinking")) or ""
            )
        return Completion(answered, self._first_token_s, time.monotonic() - self._started)

    def _show(self, text: str, thinking: str) -> None:
        if self._first_token_s is None:
            self._first_token_s = time.monotonic() - self._started
        self._on_delta(text, thinking)


def delta_of(event: bytes) -> tuple[str, str]:
    """The text and the thinking that an event of the stream adds to the first choice."""
    try:
        choices = as_objects(parse_object(event).get("choices"))
    except Unreadable:
        return "", ""
    delta = choices[0].get("delta") if choices and choices[0].get("index", 0) == 0 else None
    if not isinstance(delta, dict):
        return "", ""
    return as_text(delta.get("content")) or as_text(delta.get("refusal")) or "", read_thinking(delta) or ""


def text_of(content: object) -> str:
    return content if isinstance(content, str) else ""


async def _failure(reply: httpx2.Response) -> AskFailed:
    said = b""
    async for data in reply.aiter_bytes():
        said += data
        if len(said) > MOST_ERROR_BYTES:
            break
    status = reply.status_code
    message = f"{status}: {_reason(said)}"
    if status in (401, 403):
        return ModelForbidden(
            message, fix="mend the key: FORGE_TEACHER_KEY, or FORGE_API_KEYS for the gateway"
        )
    if status == 404:
        return ModelUnknown(message, fix="check the model's name and the URL")
    if status in (408, 409, 425, 429) or status >= 500:
        return ModelBusy(message, retry_after_s=retry_after_s(reply.headers.get("retry-after")))
    return ModelRefused(message)


def _reason(body: bytes) -> str:
    """What an error says: OpenAI's shape, a problem document, or the beginning of whatever it is."""
    try:
        document = parse_object(body)
    except Unreadable:
        return body.decode("utf-8", "replace").strip()[:200] or "no reason given"
    error = document.get("error")
    said = error.get("message") if isinstance(error, dict) else error
    return str(said or document.get("detail") or document.get("message") or "no reason given")[:300]


def retry_after_s(value: str | None) -> float:
    """Seconds, from either form of the header, a day at most; 0 where it says nothing."""
    try:
        seconds = float(value or 0)
    except ValueError:
        seconds = _seconds_until(value or "")
    # Not `max` and `min`: NaN is a float, too.
    return seconds if 0 < seconds < A_DAY_S else A_DAY_S if seconds >= A_DAY_S else 0.0


def _seconds_until(date: str) -> float:
    try:
        return (parsedate_to_datetime(date) - utc_now()).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _message(message: Message) -> JsonObject:
    """In OpenAI's shape. `developer` is a name that few servers know for the system prompt; thinking is not sent back."""
    role = "system" if message.role == "developer" else message.role
    content = None if message.content is None else message.text()
    sent: JsonObject = {"role": role, "content": content}
    if message.name:
        sent["name"] = message.name
    if message.tool_calls:
        sent["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id:
        sent["tool_call_id"] = message.tool_call_id
    return sent
