"""Workers: how a machine joins, and what it can do."""

from __future__ import annotations

from pydantic import Field

from forge_common.contracts.base import Contract, Moment


class WorkerHello(Contract):
    """Sent at start and then every few seconds. `queues` are those it consumes."""

    name: str
    service: str
    queues: tuple[str, ...]
    device: str = ""
    memory_bytes: int = 0
    versions: dict[str, str] = Field(default_factory=dict)


class WorkerWelcome(Contract):
    """The broker is handed out only to a valid key."""

    broker_url: str
    beat_s: float


class WorkerView(Contract):
    name: str
    service: str
    queues: tuple[str, ...]
    device: str
    is_alive: bool
    last_seen: Moment
