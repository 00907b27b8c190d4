"""A comparison: both models answer at once, streamed as they speak; two whole answers become a pair, anything less nothing.

Whoever asked may leave. Then the models are stopped, unless both are done: from that moment on the pair is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from forge_collector.completion import ChatModel, Completion, ask, question
from forge_collector.dialects.dialect import Answered
from forge_collector.ingest import ExchangeIn
from forge_collector.recorder import new_exchange_id
from forge_collector.shadow import pair_id
from forge_common.contracts.base import ExchangeId, utc_now
from forge_common.contracts.compare import CompareEvent, Contender, Side, SideAnswer, SideError, StoredPair
from forge_common.contracts.exchange import Message, Origin, Usage
from forge_common.errors import ForgeError
from forge_common.logging import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class Question:
    """What both are asked, and for how long each may answer."""

    messages: tuple[Message, ...]
    domain: str
    max_tokens: int
    patience_s: float


# Takes the left exchange and the right one; keeps both, or raises ForgeError. Called in the event loop.
Keep = Callable[[ExchangeIn, ExchangeIn], None]
# Told of an answer and the model asked for; gives it the cost that the upstream did not say.
Pricing = Callable[[Answered, str], None]
Events = asyncio.Queue[CompareEvent | None]
Answering = Mapping[Side, asyncio.Task[Completion | None]]


async def compare(
    asked: Question,
    models: Mapping[Side, ChatModel],
    keep: Keep,
    pricing: Pricing = lambda _answered, _model: None,
) -> AsyncGenerator[CompareEvent]:
    """Everything that happens, in order; the last event is the pair, or why there is none."""
    events: Events = asyncio.Queue()
    answering = {
        side: asyncio.create_task(_answer(asked, side, models[side], pricing, events)) for side in Side
    }
    storing = asyncio.create_task(_store(asked, models, answering, keep, events))
    try:
        while (event := await events.get()) is not None:
            yield event
    finally:
        if not all(task.done() for task in answering.values()):
            storing.cancel()
            for task in answering.values():
                task.cancel()


async def _answer(
    asked: Question, side: Side, model: ChatModel, pricing: Pricing, events: Events
) -> Completion | None:
    def show(text: str, thinking: str) -> None:
        events.put_nowait(CompareEvent(side=side, text=text or None, thinking=thinking or None))

    events.put_nowait(CompareEvent(side=side, contender=Contender(model=model.name, upstream=model.upstream)))
    try:
        body = question(model, asked.messages, max_tokens=asked.max_tokens)
        completion = await ask(model, body, patience_s=asked.patience_s, on_delta=show)
        pricing(completion.answered, model.name)
        events.put_nowait(CompareEvent(side=side, answer=_shown(completion)))
    except ForgeError as error:
        problem = SideError(code=error.code, message=error.message, fix=error.fix)
        events.put_nowait(CompareEvent(side=side, error=problem))
        return None
    return completion


async def _store(
    asked: Question, models: Mapping[Side, ChatModel], answering: Answering, keep: Keep, events: Events
) -> None:
    captured_at = utc_now()
    try:
        left, right = await asyncio.gather(answering[Side.LEFT], answering[Side.RIGHT])
        if left is None or right is None:
            events.put_nowait(CompareEvent(unsaved="a pair needs two whole answers"))
            return
        ids = StoredPair(left=(first := ExchangeId(new_exchange_id())), right=pair_id(first))
        keep(
            _exchange(asked, models[Side.LEFT], left, captured_at=captured_at, identity=ids.left),
            _exchange(
                asked,
                models[Side.RIGHT],
                right,
                captured_at=captured_at,
                identity=ids.right,
                pair_of=ids.left,
            ),
        )
        events.put_nowait(CompareEvent(pair=ids))
    except ForgeError as error:
        events.put_nowait(CompareEvent(unsaved=str(error)))
    except Exception as error:
        log.exception("compare.crashed")
        events.put_nowait(CompareEvent(unsaved=f"the collector failed ({type(error).__name__}); see its log"))
    finally:
        events.put_nowait(None)


def _shown(completion: Completion) -> SideAnswer:
    answered = completion.answered
    return SideAnswer(
        message=Message.model_validate(answered.message),
        model=answered.model,
        finish_reason=answered.finish_reason,
        usage=Usage.model_validate(answered.usage),
        cost_usd=answered.cost_usd,
        first_token_s=completion.first_token_s,
        total_s=completion.total_s,
    )


def _exchange(
    asked: Question,
    model: ChatModel,
    completion: Completion,
    *,
    captured_at: datetime,
    identity: ExchangeId,
    pair_of: ExchangeId | None = None,
) -> ExchangeIn:
    answered = completion.answered
    return ExchangeIn(
        id=identity,
        captured_at=captured_at,
        domain=asked.domain,
        origin=Origin.COMPARE,
        upstream=model.upstream,
        model_asked=model.name,
        model_served=answered.model,
        messages=asked.messages,
        answer=Message.model_validate(answered.message),
        finish_reason=answered.finish_reason,
        usage=Usage.model_validate(answered.usage),
        cost_usd=answered.cost_usd,
        first_byte_s=completion.first_token_s,
        total_s=completion.total_s,
        pair_of=pair_of,
    )
