"""Turns what was asked and answered into a redacted record in the spool. Shared by all captures of a process.

A record is the JSON of an `Exchange`. It is built without pydantic, which would cost more than all the rest; whoever
drains the spool validates it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from pydantic import JsonValue

from forge_collector.dialects.dialect import Answered, Asked, JsonObject
from forge_collector.redact import Numbering, Numberings, redact_value, suspects
from forge_collector.spool import Spool
from forge_common.logging import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class Context:
    """What a request said of itself beside its body."""

    exchange_id: str
    dialect: str
    upstream: str
    domain: str | None = None
    conversation: str | None = None


@dataclass(slots=True)
class Prompt:
    """A request, redacted."""

    asked: Asked
    conversation: str
    numbering: Numbering


@dataclass(frozen=True, slots=True)
class Timing:
    captured_at: datetime
    first_byte_s: float | None
    total_s: float


@dataclass(slots=True)
class CaptureStats:
    """Counts since start. `partial` were kept; `unanswered` had nothing to keep; `lost` should have been kept."""

    kept: int = 0
    partial: int = 0
    unanswered: int = 0
    lost: dict[str, int] = field(default_factory=dict)


class Recorder:
    """`later` runs a function soon, but not now: the event loop's `call_soon`."""

    def __init__(
        self,
        spool: Spool,
        active_domain: Callable[[], str],
        *,
        max_bytes: int,
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self.max_bytes = max_bytes
        self.later = later
        self.stats = CaptureStats()
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="capture")
        self._spool = spool
        self._active_domain = active_domain
        self._numberings = Numberings()

    def prompt(self, asked: Asked, conversation: str | None) -> Prompt:
        """Redact a request. A conversation that was not named is known by its opening, redacted: no hash of a secret stays."""
        numbering = self._numberings.of(conversation) if conversation else Numbering()
        parts = redacted(
            {"messages": list(asked.messages), "tools": list(asked.tools or ()), "sampling": asked.sampling},
            numbering,
        )
        asked.messages, asked.sampling = parts["messages"], parts["sampling"]  # type: ignore[assignment]
        asked.tools = parts["tools"] or None  # type: ignore[assignment]
        return Prompt(asked, conversation or derived_conversation(asked.messages), numbering)

    def keep(self, context: Context, prompt: Prompt, answered: Answered, status: int, timing: Timing) -> None:
        """Append the exchange to the spool; count it as kept or lost."""
        answers = redacted(
            {"answer": answered.message, "alternatives": list(answered.alternatives)}, prompt.numbering
        )
        facts = self._facts(context, prompt, answered) | {
            "messages": prompt.asked.messages,
            "tools": prompt.asked.tools,
            "sampling": prompt.asked.sampling,
            "answer": answers["answer"],
            "alternatives": answers["alternatives"] or None,
            "status": status,
            "captured_at": timing.captured_at.isoformat(),
            "first_byte_s": timing.first_byte_s,
            "total_s": timing.total_s,
        }
        if self._spool.append(orjson.dumps(facts)):
            self.stats.kept += 1
            self.stats.partial += not answered.complete
        else:
            self.lose("spool", context)

    def lose(self, reason: str, context: Context) -> None:
        self.stats.lost[reason] = self.stats.lost.get(reason, 0) + 1
        log.warning("exchange.lost", reason=reason, exchange_id=context.exchange_id)

    def _facts(self, context: Context, prompt: Prompt, answered: Answered) -> JsonObject:
        return {
            "schema_version": 1,
            "id": context.exchange_id,
            "domain": context.domain or self._active_domain(),
            "conversation_id": prompt.conversation,
            "origin": "proxy",
            "dialect": context.dialect,
            "upstream": context.upstream,
            "model_asked": prompt.asked.model,
            "model_served": answered.model,
            "finish_reason": answered.finish_reason,
            "complete": answered.complete,
            "usage": answered.usage,
            "cost_usd": answered.cost_usd,
        }


def redacted(value: JsonObject, numbering: Numbering) -> JsonObject:
    """`value` without secrets; itself where there is nothing to suspect, which is the usual case."""
    rules = suspects(orjson.dumps(value))
    clean = redact_value(value, rules, numbering) if rules else value
    assert isinstance(clean, dict)
    return clean


def derived_conversation(messages: list[JsonObject]) -> str:
    """The same for every request that repeats the same opening: system prompt and first user message."""
    opening = [next((m.get("content") for m in messages if m.get("role") == role), None)
               for role in ("system", "user")]  # fmt: skip
    return "conv_" + hashlib.sha256(orjson.dumps(opening)).hexdigest()[:24]


def new_exchange_id() -> str:
    """Ids sort by the millisecond they were made in, so that pages and datasets are in the order of capture."""
    return f"ex_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def content_id(*parts: JsonValue) -> str:
    """The id of an exchange that came without one: the same content is the same exchange, however often it is sent."""
    return "ex_" + hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]
