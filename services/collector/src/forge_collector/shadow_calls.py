"""Making the shadow calls: finds what is due and asks the model that was not used. Runs in the queue's worker.

A tick is an offer to work, not an order: what is due lies in Postgres, so a lost or doubled tick changes nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

from forge_collector import shadow_ledger
from forge_collector.completion import (
    AskFailed,
    ChatModel,
    Completion,
    ModelForbidden,
    ModelUnknown,
    ModelUnreachable,
    ask,
    question,
)
from forge_collector.contenders import configured_teacher, live_model
from forge_collector.dialects.dialect import Answered, as_count
from forge_collector.ingest import ExchangeIn, ingest
from forge_collector.prices import Prices
from forge_collector.redact import STRICTEST, Numbering, redacted
from forge_collector.settings import Settings
from forge_collector.shadow import (
    Answerer,
    CallToMake,
    offered_tools,
    pair_id,
    plan,
    question_sampling,
)
from forge_collector.shadow_ledger import ENROLLED_AT_ONCE, Claim
from forge_common.contracts.base import utc_now
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.exchange import Exchange, Origin
from forge_common.db.session import make_engine, session_scope
from forge_common.errors import DependencyDown, ForgeError, Invalid, RemoteProblem
from forge_common.http.proxy import Upstream
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger

log = get_logger()

# So long one tick goes on to take calls; the next one takes over.
ROUND_S = 60.0
# The lease outlives the longest call by what storing it may take.
MARGIN_S = 30.0
NOT_FOUND = 404


class DomainGone(ForgeError):
    """The exchange's domain is not one of the registry's: there is no model of it to ask."""


class ShadowCalls:
    """One per worker process. `slots` calls at most at once here, whatever the policy says: other tasks need a thread, too."""

    def __init__(self, settings: Settings, registry: RegistryClient, *, slots: int) -> None:
        self._settings, self._registry = settings, registry
        # Shared by the slots; no transaction is open while a model answers.
        self._engine = make_engine(settings.database_url, pool_size=2)
        self._slots = threading.Semaphore(slots)
        self._own = frozenset(
            Upstream.parse(url).origin for url in (settings.gateway_url, settings.engine_url)
        )
        self._teacher = _teacher(settings)
        self._prices = Prices(settings.prices)
        self._stopped = threading.Event()
        self._running: set[tuple[asyncio.AbstractEventLoop, asyncio.Task[Completion]]] = set()

    def work(self) -> None:
        """Enrol what is new, then make due calls until there are none, the round is over, or all slots are taken."""
        if self._stopped.is_set() or not self._slots.acquire(blocking=False):
            return
        try:
            self._enrol()
            until = time.monotonic() + ROUND_S
            while not self._stopped.is_set() and time.monotonic() < until and (claim := self._claim()):
                self._make(claim)
        except DependencyDown as error:
            # The next tick finds it all again.
            log.warning("shadow.postponed", reason=str(error))
        finally:
            self._slots.release()

    def stop(self) -> None:
        """Take no more calls, and give back those under way."""
        self._stopped.set()
        for loop, task in list(self._running):
            loop.call_soon_threadsafe(task.cancel)

    def _enrol(self) -> None:
        looked_at = ENROLLED_AT_ONCE
        while looked_at == ENROLLED_AT_ONCE and not self._stopped.is_set():
            with session_scope(self._engine) as session:
                looked_at = shadow_ledger.enrol(session, self._plan)

    def _plan(self, exchange: Exchange) -> CallToMake:
        return plan(exchange, own=self._own, has_teacher=self._teacher is not None)

    def _claim(self) -> Claim | None:
        answerers = [Answerer.LOCAL, *([Answerer.TEACHER] if self._teacher else [])]
        lease = self._settings.answer_patience + timedelta(seconds=MARGIN_S)
        with session_scope(self._engine) as session:
            return shadow_ledger.claim(session, answerers, lease)

    def _make(self, claim: Claim) -> None:
        try:
            domain = self._domain(claim)
            model = self._model(claim, domain)
            completion = asyncio.run(self._ask(model, claim))
            self._prices.fill_in(completion.answered, model.name)
            shadow = shadow_of(claim.exchange, model, completion)
        except asyncio.CancelledError:
            with session_scope(self._engine) as session:
                shadow_ledger.give_back(session, claim)
        except DependencyDown as error:
            self._try_later(claim, error)
        except ForgeError as error:
            self._give_up(claim, error.message)
        except Exception as error:
            # A bug must not hold the slot until the lease ends, nor be met again for ever.
            log.exception("shadow.crashed", exchange_id=claim.exchange.id)
            self._give_up(claim, f"it crashed: {type(error).__name__}", tokens=None)
        else:
            self._keep(claim, shadow, domain, tokens_of(completion.answered))

    def _domain(self, claim: Claim) -> DomainDocument:
        try:
            return self._registry.domain(claim.exchange.domain)
        except RemoteProblem as error:
            if error.status == NOT_FOUND:
                raise DomainGone(error.message) from error
            raise

    def _model(self, claim: Claim, domain: DomainDocument) -> ChatModel:
        if claim.answerer is Answerer.LOCAL:
            return live_model(self._settings, domain.model_prefix)
        assert self._teacher is not None  # else it would not have been claimed
        return self._teacher

    async def _ask(self, model: ChatModel, claim: Claim) -> Completion:
        exchange = claim.exchange
        body = question(
            model,
            exchange.messages,
            max_tokens=claim.answer_tokens,
            tools=offered_tools(exchange.tools or ()),
            sampling=question_sampling(exchange),
        )
        task = asyncio.create_task(
            ask(model, body, patience_s=self._settings.answer_patience.total_seconds())
        )
        mine = (asyncio.get_running_loop(), task)
        self._running.add(mine)
        try:
            if self._stopped.is_set():
                task.cancel()
            return await task
        finally:
            self._running.discard(mine)

    def _keep(self, claim: Claim, shadow: ExchangeIn, domain: DomainDocument, tokens: int | None) -> None:
        with session_scope(self._engine) as session:
            if shadow_ledger.settle(session, claim, tokens=tokens):
                ingest(session, [shadow], domain.id, lambda _: domain.capture.classes())
        log.info("shadow.answered", exchange_id=claim.exchange.id, answerer=claim.answerer, tokens=tokens)

    def _try_later(self, claim: Claim, error: DependencyDown) -> None:
        reason, retry_after_s = clean(error.message), getattr(error, "retry_after_s", 0.0)
        with session_scope(self._engine) as session:
            if not is_its_own(claim.answerer, error):
                shadow_ledger.pause(session, claim.answerer, reason, retry_after_s=retry_after_s)
            shadow_ledger.fail(
                session,
                claim,
                reason,
                again=True,
                tokens=None if getattr(error, "may_have_cost", False) else 0,
                counts=not is_everybodys(error),
                retry_after_s=retry_after_s,
            )
        log.info("shadow.put_off", answerer=claim.answerer, reason=error.code)

    def _give_up(self, claim: Claim, reason: str, *, tokens: int | None = 0) -> None:
        with session_scope(self._engine) as session:
            shadow_ledger.fail(session, claim, clean(reason), again=False, tokens=tokens)
        log.info("shadow.failed", exchange_id=claim.exchange.id, answerer=claim.answerer)


def is_its_own(answerer: Answerer, error: DependencyDown) -> bool:
    """Whether other calls may fare better at the same model: a domain without a live model must not stop the others."""
    return answerer is Answerer.LOCAL and isinstance(error, ModelUnknown)


def is_everybodys(error: DependencyDown) -> bool:
    """Whether the call has no part in it, so that it is put off as often as it takes."""
    return not isinstance(error, AskFailed) or isinstance(error, ModelUnreachable | ModelForbidden)


def tokens_of(answered: Answered) -> int | None:
    """What it used; None when the server did not say."""
    used = [as_count(answered.usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    return None if None in used else sum(count or 0 for count in used)


def _teacher(settings: Settings) -> ChatModel | None:
    try:
        return configured_teacher(settings)
    except Invalid as error:
        # No reason not to prepare runs.
        log.error("teacher.invalid", reason=str(error))  # noqa: TRY400
        return None


def shadow_of(original: Exchange, model: ChatModel, completion: Completion) -> ExchangeIn:
    """The other model's answer as an exchange of its own: same prompt, same conversation, `pair_of` the original."""
    answered = completion.answered
    return ExchangeIn.model_validate(
        {
            "id": pair_id(original.id),
            "captured_at": utc_now(),
            "domain": original.domain,
            "conversation_id": original.conversation_id,
            "origin": Origin.COMPARE,
            "upstream": model.upstream,
            "model_asked": model.name,
            "model_served": answered.model,
            "messages": original.messages,
            "tools": original.tools,
            "answer": answered.message,
            "finish_reason": answered.finish_reason,
            "sampling": question_sampling(original),
            "usage": answered.usage,
            "cost_usd": answered.cost_usd,
            "first_byte_s": completion.first_token_s,
            "total_s": completion.total_s,
            "task_type": original.task_type,
            "pair_of": original.id,
        }
    )


def clean(reason: str) -> str:
    """An error of somebody else's server, fit to be kept: it may quote what it was sent."""
    return str(redacted(reason, STRICTEST, Numbering()))
