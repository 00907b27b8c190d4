"""Workers: how a machine joins, what it can do, and what it is doing."""

from __future__ import annotations

from pydantic import Field

from forge_common.contracts.base import Contract, Moment, RunId
from forge_common.contracts.stages import StageKind


class WorkerHello(Contract):
    """Sent at start and then every few seconds. `queues` are those it consumes.

    Memory is the device's: the card's where there is one, else the machine's.
    """

    name: str
    service: str
    queues: tuple[str, ...]
    device: str = ""
    memory_bytes: int = 0
    memory_used_bytes: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class WorkerWelcome(Contract):
    """The broker is handed out only to a valid key. `tls_broker_url` is for those who came over https."""

    broker_url: str
    beat_s: float
    tls_broker_url: str | None = None


class WorkerJob(Contract):
    """The stage that a worker holds, and how far it said it is."""

    run_id: RunId
    domain: str
    stage: StageKind
    since: Moment
    message: str = ""
    step: int | None = None
    of: int | None = None
    eta_s: float | None = None


class WorkerView(Contract):
    """`tokens_per_s` is of the training under way, else of the last one that was finished."""

    name: str
    service: str
    queues: tuple[str, ...]
    device: str
    is_alive: bool
    last_seen: Moment
    memory_bytes: int = 0
    memory_used_bytes: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    tokens_per_s: float | None = None
    job: WorkerJob | None = None
