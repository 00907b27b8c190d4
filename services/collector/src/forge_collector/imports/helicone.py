"""Helicone's export: requests with their bodies and those of the replies."""

from __future__ import annotations

from dataclasses import replace

from forge_collector.dialects.dialect import JsonObject, Unreadable
from forge_collector.imports.bodies import read_bodies
from forge_collector.imports.record import (
    Imported,
    Reading,
    count_of,
    moment_of,
    number_of,
    parsed,
    seconds_of,
    snake,
    text_of,
    usage,
)

_OWN = frozenset({"request_body", "response_body", "request_created_at", "response_created_at"})
_OK = 200
_SESSION = "helicone-session-id"


def recognises(record: JsonObject) -> bool:
    return not _OWN.isdisjoint(snake(record))


def read(record: JsonObject) -> Reading:
    fields = snake(record)
    status = count_of(fields, "response_status", "status")
    if status is not None and status != _OK:
        raise Unreadable(f"the upstream answered {status}")
    request, reply = (parsed(fields.get(name)) for name in ("request_body", "response_body"))
    if not isinstance(request, dict) or not isinstance(reply, dict):
        raise Unreadable("the export has no bodies: export JSON lines with --include-body")
    return Reading([_with_facts(read_bodies(request, reply), fields)])


def _with_facts(exchange: Imported, fields: JsonObject) -> Imported:
    counted = usage(count_of(fields, "prompt_tokens"), count_of(fields, "completion_tokens"))
    return replace(
        exchange,
        model=exchange.model or text_of(fields, "response_model", "model", "request_model"),
        conversation=_session(fields) or exchange.conversation,
        captured_at=moment_of(fields, "request_created_at", "response_created_at"),
        usage=exchange.usage or counted,
        cost_usd=exchange.cost_usd or number_of(fields, "cost_usd", "cost"),
        first_byte_s=seconds_of(fields, "time_to_first_token"),
        total_s=seconds_of(fields, "delay_ms", "latency_ms", "latency"),
        thumb=_thumb(fields),
    )


def _session(fields: JsonObject) -> str | None:
    properties = parsed(fields.get("request_properties", fields.get("properties")))
    if not isinstance(properties, dict):
        return None
    return next(
        (value for key, value in properties.items() if key.lower() == _SESSION and isinstance(value, str)),
        None,
    )


def _thumb(fields: JsonObject) -> int | None:
    feedback = fields.get("feedback")
    rating = feedback.get("rating") if isinstance(feedback, dict) else fields.get("feedback_rating")
    return {True: 1, False: -1}.get(rating) if isinstance(rating, bool) else None
