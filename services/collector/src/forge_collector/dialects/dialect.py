"""What a dialect must give: which requests are exchanges, what was asked, and how the answer is read from a copy.

A dialect never sees credentials and never touches the traffic itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from forge_common.errors import Invalid
from forge_common.http.proxy import RequestHead

JsonObject = dict[str, JsonValue]


class Unreadable(Invalid):
    """The captured copy is not what its dialect promises; the traffic itself went through."""


@dataclass(slots=True)
class Asked:
    """A request. `messages` have the fields of `contracts.exchange.Message`; `conversation` is what the body itself says."""

    messages: list[JsonObject]
    tools: list[JsonObject] | None = None
    model: str | None = None
    sampling: JsonObject = field(default_factory=dict)
    is_stream: bool = False
    conversation: str | None = None


@dataclass(slots=True)
class Answered:
    """A reply. `complete` is False when it broke off or says nothing of its end."""

    message: JsonObject
    finish_reason: str | None = None
    model: str | None = None
    usage: JsonObject = field(default_factory=dict)
    complete: bool = True
    alternatives: list[JsonObject] = field(default_factory=list)
    cost_usd: float | None = None


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


def as_text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def as_count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list; anything else in it is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
