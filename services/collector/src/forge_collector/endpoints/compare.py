"""Comparisons: two models asked at once, streamed side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from pydantic import SecretStr

from forge_collector.collector import Collector
from forge_collector.compare import Question, compare
from forge_collector.completion import ChatModel
from forge_collector.contenders import chosen_teacher, gateway_model, live_model
from forge_collector.endpoints.dependencies import CollectorDep
from forge_collector.ingest import ExchangeIn, fill_in
from forge_common.contracts.compare import TEACHER_KEY_HEADER, CompareEvent, CompareRequest, Side
from forge_common.errors import DependencyDown

router = APIRouter(tags=["compare"])


class SpoolFull(DependencyDown):
    """The spool takes nothing more."""


@router.post("/compare", response_class=StreamingResponse)
def compare_models(
    collector: CollectorDep,
    request: CompareRequest,
    teacher_key: Annotated[SecretStr | None, Header(alias=TEACHER_KEY_HEADER)] = None,
) -> StreamingResponse:
    """Server-sent `CompareEvent`s; the pair is stored when both answers are whole. Leaving stops both models."""
    domain = request.domain or collector.active_domain()
    key = teacher_key.get_secret_value() if teacher_key else None
    models = contenders(collector, request, domain, key)
    patience_s = collector.settings.answer_patience.total_seconds()
    asked = Question(request.asked(), domain, request.max_tokens, patience_s)

    def keep(left: ExchangeIn, right: ExchangeIn) -> None:
        # In one write: a kill leaves both or neither.
        if not collector.spool.append(*map(document, (left, right))):
            raise SpoolFull("the spool is full", fix="is Postgres up? `forge status` says")

    def document(exchange: ExchangeIn) -> bytes:
        return fill_in(exchange, domain, collector.capture_rules).model_dump_json(exclude_none=True).encode()

    return StreamingResponse(
        _lines(compare(asked, models, keep, collector.prices.fill_in)), media_type="text/event-stream"
    )


def contenders(
    collector: Collector, request: CompareRequest, domain: str, key: str | None
) -> dict[Side, ChatModel]:
    """Raises NoTeacher, Invalid, NotFound for an unknown domain, DependencyDown when the registry is away."""
    settings = collector.settings
    named = [gateway_model(settings, name) for name in request.models]
    if len(named) == len(Side):
        return dict(zip(Side, named, strict=True))
    teacher = chosen_teacher(settings, request.teacher, key)
    local = named[0] if named else live_model(settings, collector.registry.domain(domain).model_prefix)
    return {Side.LEFT: teacher, Side.RIGHT: local}


async def _lines(events: AsyncIterator[CompareEvent]) -> AsyncIterator[bytes]:
    async for event in events:
        yield b"data: " + event.model_dump_json(exclude_none=True).encode() + b"\n\n"
