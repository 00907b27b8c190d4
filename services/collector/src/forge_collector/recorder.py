"""Turns what was asked and answered into a redacted record in the spool. Shared by all captures of a process.

A record is the JSON of an `Exchange`. It is built without pydantic, which would cost more than all the rest; whoever
drains the spool validates it.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from pydantic import JsonValue

from forge_collector.continuations import Continuations
from forge_collector.dialects.dialect import Answered, Asked, JsonObject, as_object, as_objects
from forge_collector.redact import STRICTEST, Numbering, Numberings, Redactor, is_clean
from forge_collector.redaction.scanner import Scanner, scanner
from forge_collector.spool import Spool
from forge_collector.waiting import WaitingRoom
from forge_common.contracts.domain import RedactionClass
from forge_common.http.proxy import Held
from forge_common.logging import get_logger

log = get_logger()

# For what is large, in each of two lanes.
THREADS = 2
LANES = ("fast", "slow")
LARGEST_IN_FAST_LANE = 512 * 1024
# Of models and conversations, known to be nobody's secret.
MOST_NAMES = 4096


@dataclass(slots=True)
class Context:
    """What a request said of itself beside its body."""

    exchange_id: str
    dialect: str
    upstream: str
    domain: str | None = None
    conversation: str | None = None


@dataclass(slots=True)
class Prompt:
    """A request, redacted. `is_named`: somebody said which conversation it belongs to."""

    asked: Asked
    domain: str
    conversation: str
    redactor: Redactor
    is_named: bool


@dataclass(slots=True)
class Timing:
    captured_at: datetime
    first_byte_s: float | None
    total_s: float


@dataclass(slots=True)
class Record:
    """The JSON of an exchange, redacted."""

    context: Context
    document: bytes
    complete: bool


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
        model_rules: Callable[[str, str | None], str | None] = lambda _upstream, _model: None,
        redaction: Callable[[str], frozenset[RedactionClass]] = lambda _domain: STRICTEST,
        max_bytes: int,
        later: Callable[[Callable[[], None]], object],
        is_draining: Callable[[], bool] = lambda: False,
        prices: Callable[[str | None, JsonObject], float | None] = lambda _model, _usage: None,
    ) -> None:
        self.max_bytes = max_bytes
        self.later = later
        self.stats = CaptureStats()
        # Two lanes: megabytes of log lines take seconds to redact, and nobody else should wait behind them.
        self._lanes = [ThreadPoolExecutor(THREADS, thread_name_prefix=f"capture-{name}") for name in LANES]
        self._warming: Future[Scanner] | None = None
        self._aside: set[Held] = set()
        self._waiting, self._prices = WaitingRoom(spool, is_draining), prices
        self._active_domain, self._model_rules = active_domain, model_rules
        self._redaction, self._numberings = redaction, Numberings()
        self._continuations = Continuations()
        self._clean_names: set[str] = set()

    def warm_up(self) -> None:
        """Make the scanner in a thread; what comes until that is done is redacted there as well."""
        self._warming = self.lane(0).submit(scanner)

    @property
    def is_warm(self) -> bool:
        return self._warming is None or self._warming.done()

    def lane(self, size: int) -> ThreadPoolExecutor:
        """The threads for an exchange of `size` bytes so far. Who waits for an earlier job of its own is in the same or the slower one."""
        return self._lanes[size > LARGEST_IN_FAST_LANE]

    def stop(self) -> None:
        """Return when all that was begun is done."""
        for lane in self._lanes:
            lane.shutdown()

    def aside(self, size: int, job: Callable[[], None], then: Callable[[], Held | None]) -> Held:
        """Do `job` in a thread, and `then` in the event loop; the future is done after both, and after what `then` waits for.

        `job` must not raise.
        """
        loop = asyncio.get_running_loop()
        held: Held = loop.create_future()
        self._aside.add(held)

        def release(_: object) -> None:
            self._aside.discard(held)
            if not held.done():
                held.set_result(None)

        def settle(_: object) -> None:
            further = None
            try:
                further = then()
            finally:
                if further is None:
                    release(None)
                else:
                    further.add_done_callback(release)

        asyncio.wrap_future(self.lane(size).submit(job), loop=loop).add_done_callback(settle)
        return held

    async def settled(self) -> None:
        """Return when all that was set aside so far has been appended."""
        if self._aside:
            await asyncio.wait(self._aside)
        await self._waiting.settled()

    def prompt(self, asked: Asked, context: Context) -> Prompt:
        """Redact a request. A conversation that was not named is known by its opening, redacted: no hash of a secret stays."""
        conversation = context.conversation or asked.conversation
        if conversation is None and asked.continues:
            conversation = self._continuations.conversation_after(asked.continues)
        # A session named after a person or a key is known by its opening instead, as one without a name is.
        conversation = self._kept(conversation) or None
        asked.model = self._kept(asked.model)
        domain = self.domain_of(context, asked.model)
        numbering = self._numberings.of(conversation) if conversation else Numbering()
        redactor = Redactor(self._redaction(domain), numbering)
        given: JsonObject = {
            "messages": list(asked.messages),
            "tools": list(asked.tools or ()),
            "sampling": asked.sampling,
        }
        parts = as_object(redactor(given))
        is_named = conversation is not None
        if conversation is None:
            conversation = derived_conversation(as_objects(parts["messages"]))
            known = self._numberings.of(conversation, numbering)
            if known is not numbering and not known.merge(numbering):
                # Spoken of before, in another order: the placeholders of then.
                redactor = Redactor(self._redaction(domain), known)
                parts = as_object(redactor(given))
            redactor.numbering = known
        asked.messages, asked.sampling = parts["messages"], parts["sampling"]  # type: ignore[assignment]
        asked.tools = parts["tools"] or None  # type: ignore[assignment]
        return Prompt(asked, domain, conversation, redactor, is_named)

    def record(
        self, context: Context, prompt: Prompt, answered: Answered, status: int, timing: Timing
    ) -> Record:
        """The whole exchange, redacted. By any thread."""
        answers = as_object(
            prompt.redactor(
                {
                    "turns": list(answered.turns),
                    "answer": answered.message,
                    "alternatives": list(answered.alternatives),
                }
            )
        )
        facts: dict[str, object] = {
            **self._facts(context, prompt, answered),
            "messages": prompt.asked.messages + as_objects(answers["turns"]),
            "tools": prompt.asked.tools,
            "sampling": prompt.asked.sampling,
            "answer": answers["answer"],
            "alternatives": answers["alternatives"] or None,
            "status": status,
            "captured_at": timing.captured_at,
            "first_byte_s": timing.first_byte_s,
            "total_s": timing.total_s,
        }
        if answered.id:
            self._continuations.remember(answered.id, str(facts["conversation_id"]))
        return Record(context, orjson.dumps(facts), answered.complete)

    def keep(self, record: Record) -> Held | None:
        """Append it to the spool; count it as kept or lost. A future where it waits for room. By the event loop's thread."""

        def settle(is_kept: bool) -> None:
            if is_kept:
                self.stats.kept += 1
                self.stats.partial += not record.complete
            else:
                # Not logged one by one: the spool says so, and why, at 1, 2, 4, 8, …
                self.stats.lost["spool"] = self.stats.lost.get("spool", 0) + 1

        return self._waiting.append(record.document, settle)

    def lose(self, reason: str, context: Context) -> None:
        self.stats.lost[reason] = self.stats.lost.get(reason, 0) + 1
        log.warning("exchange.lost", reason=reason, exchange_id=context.exchange_id)

    def domain_of(self, context: Context, model_asked: str | None) -> str:
        """The request's own word, else the rule for the model that it asks for, else the active domain."""
        return context.domain or self._model_rules(context.upstream, model_asked) or self._active_domain()

    def _kept(self, name: str | None) -> str | None:
        """The name, or None for one that must not be written."""
        if not name or name in self._clean_names:
            return name
        if not is_clean(name):
            return None
        # The same few models come again and again; names that must not be kept are not kept here either.
        if len(self._clean_names) >= MOST_NAMES:
            self._clean_names.clear()
        self._clean_names.add(name)
        return name

    def _facts(self, context: Context, prompt: Prompt, answered: Answered) -> JsonObject:
        return {
            "schema_version": 1,
            "id": context.exchange_id,
            "domain": prompt.domain,
            "conversation_id": (None if prompt.is_named else self._kept(answered.conversation))
            or prompt.conversation,
            "origin": "proxy",
            "dialect": context.dialect,
            "upstream": context.upstream,
            "model_asked": prompt.asked.model,
            "model_served": self._kept(answered.model),
            "finish_reason": answered.finish_reason,
            "complete": answered.complete,
            "usage": answered.usage,
            "cost_usd": answered.cost_usd
            if answered.cost_usd is not None
            else self._prices(answered.model or prompt.asked.model, answered.usage),
        }


def derived_conversation(messages: list[JsonObject]) -> str:
    """The same for every request that repeats the same opening: system prompt and first user message."""
    opening = [next((m.get("content") for m in messages if m.get("role") == role), None)
               for role in ("system", "user")]  # fmt: skip
    return "conv_" + hashlib.sha256(orjson.dumps(opening)).hexdigest()[:24]


def new_exchange_id() -> str:
    """Ids sort by the millisecond they were made in, so that pages and datasets are in the order of capture."""
    # Nobody gains by guessing one: no call to the system is worth it.
    return f"ex_{time.time_ns() // 1_000_000:012x}{random.getrandbits(48):012x}"


def content_id(*parts: JsonValue) -> str:
    """The id of an exchange that came without one: the same content is the same exchange, however often it is sent."""
    return "ex_" + hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]
