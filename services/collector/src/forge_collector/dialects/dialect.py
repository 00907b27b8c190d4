"""What a dialect must give: which requests are exchanges, what was asked, and how the answer is read from a copy.

A dialect never sees credentials and never touches the traffic itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from forge_common.errors import Invalid

JsonObject = dict[str, JsonValue]


class Unreadable(Invalid):
    """The captured copy is not what its dialect promises; the traffic itself went through."""


@dataclass(slots=True)
class Asked:
    """A request. `messages` have the fields of `contracts.exchange.Message`."""

    messages: list[JsonObject]
    tools: list[JsonObject] | None = None
    model: str | None = None
    sampling: JsonObject = field(default_factory=dict)
    is_stream: bool = False


@dataclass(slots=True)
class Answered:
    """A reply. `complete` is False when it broke off or says nothing of its end."""

    message: JsonObject
    finish_reason: str | None = None
    model: str | None = None
    usage: JsonObject = field(default_factory=dict)
    complete: bool = True


class AnswerReader(Protocol):
    """Reads one reply from copies of its bytes, as they come. `is_done` once its dialect says that nothing follows."""

    is_done: bool

    def feed(self, data: bytes) -> None: ...

    def answered(self) -> Answered:
        """What was read so far. Raises Unreadable when that is no answer at all."""
        ...


class Dialect(Protocol):
    name: str

    def captures(self, method: str, path: str) -> bool:
        """Whether a request to `path` (below the dialect's own base, query excluded) is an exchange."""
        ...

    def asked(self, body: bytes) -> Asked:
        """Raises Unreadable."""
        ...

    def reader(self, content_type: str) -> AnswerReader: ...


def as_text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def as_count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list; anything else in it is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
