"""What a dialect must give: which requests are exchanges, what was asked, and how the answer is read from a copy.

A dialect never sees credentials and never touches the traffic itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from pydantic import JsonValue

from forge_common.errors import Invalid
from forge_common.http.proxy import RequestHead

JsonObject = dict[str, JsonValue]

# What Postgres keeps as a number.
_MOST = 2**63


class Unreadable(Invalid):
    """The captured copy is not what its dialect promises; the traffic itself went through."""


class NoExchange(Unreadable):
    """The request asks for no answer (to load a model, say): nothing is kept, and nothing is lost."""


@dataclass(slots=True)
class Asked:
    """A request. `messages` have the fields of `contracts.exchange.Message`; `conversation` is what the body itself says.

    `continues` is the `Answered.id` that it goes on from, where the upstream keeps the conversation and the body does not.
    """

    messages: list[JsonObject]
    tools: list[JsonObject] | None = None
    model: str | None = None
    sampling: JsonObject = field(default_factory=dict)
    conversation: str | None = None
    continues: str | None = None


@dataclass(slots=True)
class Answered:
    """A reply. `complete` is False when it broke off or says nothing of its end.

    `turns` came between the prompt and the answer: calls of tools that the upstream ran itself, and their results.
    `conversation` is the session that the reply names; it counts where the request named none.
    `id` is set where a later request may go on from this answer by naming it.
    """

    message: JsonObject
    finish_reason: str | None = None
    model: str | None = None
    usage: JsonObject = field(default_factory=dict)
    complete: bool = True
    alternatives: list[JsonObject] = field(default_factory=list)
    cost_usd: float | None = None
    turns: list[JsonObject] = field(default_factory=list)
    conversation: str | None = None
    id: str | None = None


class AnswerReader(Protocol):
    """Reads one reply from copies of its bytes, as they come. `is_done` once its dialect says that nothing follows."""

    is_done: bool

    def feed(self, data: bytes) -> None: ...

    def answered(self) -> Answered:
        """What was read so far. Raises Unreadable when that is no answer at all."""
        ...


class Form(Protocol):
    """One kind of exchange of a dialect, e.g. chat completions: how its request and its reply are read."""

    def asked(self, body: bytes) -> Asked:
        """Raises Unreadable."""
        ...

    def reader(self, content_type: str) -> AnswerReader: ...


class Dialect(Protocol):
    name: str

    def form(self, method: str, path: str) -> Form | None:
        """What kind of exchange a request to `path` (as its upstream sees it, query excluded) is; None for everything that is none."""
        ...

    def conversation(self, head: RequestHead) -> bytes | None:
        """The vendor's own session header."""
        ...


def parse_object(data: bytes) -> JsonObject:
    """Raises Unreadable. Lone surrogates, which strict parsers refuse, become replacement characters."""
    try:
        value: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _parse_leniently(data)
    if not isinstance(value, dict):
        raise Unreadable("the body is not a JSON object")
    return value


def _parse_leniently(data: bytes) -> Any:
    try:
        # Through UTF-16, so that pairs which came as two escapes become one character again.
        text = json.dumps(json.loads(data), ensure_ascii=False).encode("utf-16-le", "surrogatepass")
        return json.loads(text.decode("utf-16-le", "replace"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the body is not JSON: {type(error).__name__}") from error


def to_json(value: JsonValue) -> str:
    """Raises Unreadable for what is nested beyond all reason."""
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise Unreadable(f"the body cannot be written as JSON again: {error}") from error


def as_text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def as_count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def as_amount(value: JsonValue) -> float | None:
    """A sum of money."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < _MOST and math.isfinite(value) else None


def as_object(value: JsonValue) -> JsonObject:
    """Empty where it is none."""
    return value if isinstance(value, dict) else {}


def as_objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list; anything else in it is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
