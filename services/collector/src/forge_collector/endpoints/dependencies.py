"""What every endpoint may ask for: the collector, a session, the body as it came, and the key."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request

from forge_collector.collector import Collector
from forge_collector.routing import KeyRequired

# What was captured a moment ago is part of a dataset that is asked for now.
DRAIN_PATIENCE_S = 10.0


def the_collector(request: Request) -> Collector:
    collector: Collector = request.app.state.collector
    return collector


def require_key(request: Request) -> None:
    """Raises KeyRequired unless x-forge-key or the bearer token is the installation key."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    given = request.headers.get("x-forge-key") or bearer
    if not hmac.compare_digest(given.encode(), request.app.state.collector.key.encode()):
        raise KeyRequired(
            "the collector's API needs the installation key",
            fix="check FORGE_KEY, or send as x-forge-key what secrets.json in the Forge's home says",
        )


async def raw_body(request: Request) -> bytes:
    return await request.body()


CollectorDep = Annotated[Collector, Depends(the_collector)]
