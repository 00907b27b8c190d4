"""One prompt and its answer, as captured. Built by the collector; everyone else only reads it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from forge_common.contracts.base import Contract, ExchangeId, Moment, Payload


class Origin(StrEnum):
    PROXY = "proxy"
    INGEST = "ingest"
    COMPARE = "compare"
    MINED = "mined"
    GROUND_TRUTH = "ground_truth"
    PRACTICE = "practice"
    IMPORT = "import"
    GATEWAY = "gateway"


class Message(Contract):
    """A chat message in OpenAI's shape. `content` is text, or the parts the client sent."""

    role: str
    content: str | tuple[dict[str, JsonValue], ...] | None = None
    name: str | None = None
    tool_calls: tuple[dict[str, JsonValue], ...] | None = None
    tool_call_id: str | None = None
    thinking: str | None = None
    # 0 marks an answer that is context only: it is never trained on. As in OpenAI's fine-tuning files.
    weight: Literal[0, 1] | None = None

    def text(self) -> str:
        """The textual content, parts joined by blank lines."""
        if isinstance(self.content, str):
            return self.content
        return "\n\n".join(str(part["text"]) for part in self.content or () if "text" in part)


class Usage(Contract):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    # Of the prompt's tokens those that the upstream had in its cache.
    cached_tokens: int | None = None


class Exchange(Payload):
    """`messages` is what was asked, system prompt included; `answer` what came back. Times are seconds."""

    id: ExchangeId
    captured_at: Moment
    domain: str
    conversation_id: str
    origin: Origin = Origin.PROXY
    dialect: str = "openai"
    upstream: str | None = None
    model_asked: str | None = None
    model_served: str | None = None
    messages: tuple[Message, ...] = Field(min_length=1)
    tools: tuple[dict[str, JsonValue], ...] | None = None
    answer: Message
    # Further answers to the same prompt (`n` > 1), in the order of their index.
    alternatives: tuple[Message, ...] | None = None
    finish_reason: str | None = None
    status: int = 200
    # False when the stream broke off: kept, never trained on.
    complete: bool = True
    sampling: dict[str, JsonValue] = Field(default_factory=dict)
    usage: Usage = Usage()
    # As the upstream reported it; never estimated.
    cost_usd: float | None = None
    first_byte_s: float | None = None
    total_s: float | None = None
    task_type: str | None = None
    # The exchange whose prompt this one answers again with another model.
    pair_of: ExchangeId | None = None
