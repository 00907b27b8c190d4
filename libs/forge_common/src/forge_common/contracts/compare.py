"""A comparison: one prompt to two models at once, and what is streamed back while they answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from forge_common.contracts.base import Contract, ExchangeId, Payload, Slug
from forge_common.contracts.exchange import Message, Usage

# The header that carries the teacher's key: it is no part of the document, so nothing that keeps or prints one has it.
TEACHER_KEY_HEADER = "x-forge-teacher-key"


class Side(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Teacher(Contract):
    """A model behind an OpenAI-compatible API. `url` is what `/chat/completions` is put behind."""

    url: str
    model: str = Field(min_length=1)


class CompareRequest(Contract):
    """`prompt`, or whole `messages`. Without `models` the teacher answers on the left, the domain's live model on the right.

    One model replaces the live one, two replace both. Models are the gateway's names, e.g. `engie-coder:v2`.
    """

    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    domain: Slug | None = None
    # None: the one that the collector is configured with.
    teacher: Teacher | None = None
    models: tuple[str, ...] = Field(default=(), max_length=2)
    max_tokens: int = Field(default=2048, ge=1)

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if (self.prompt is None) == (not self.messages):
            msg = "give either `prompt` or `messages`"
            raise ValueError(msg)
        if self.prompt is not None and not self.prompt.strip():
            msg = "the prompt is empty"
            raise ValueError(msg)
        return self

    def asked(self) -> tuple[Message, ...]:
        return self.messages or (Message(role="user", content=self.prompt),)


class Contender(Contract):
    """Who answers on a side."""

    model: str
    upstream: str


class SideAnswer(Contract):
    """A whole answer. Times are seconds since the question left; what the server did not say is None."""

    message: Message
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage
    cost_usd: float | None = None
    first_token_s: float | None = None
    total_s: float


class SideError(Contract):
    code: str
    message: str
    fix: str | None = None


class StoredPair(Contract):
    """The two exchanges; `right` has `pair_of` the left one."""

    left: ExchangeId
    right: ExchangeId


class CompareEvent(Payload):
    """One of: a side begins, a piece of its text or thinking, its whole answer or why there is none; last, the pair or why not."""

    side: Side | None = None
    contender: Contender | None = None
    text: str | None = None
    thinking: str | None = None
    answer: SideAnswer | None = None
    error: SideError | None = None
    pair: StoredPair | None = None
    unsaved: str | None = None
