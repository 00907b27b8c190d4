"""The jobs of the child process: the trainers' common ones, and how much memory mlx may take. No mlx in here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from forge_common.contracts.base import Contract
from forge_common.weights import jobs


class DeviceJob(Contract):
    """Load mlx as the other jobs do, and say what it runs on. `memory_share` is of Metal's working set, in all jobs."""

    work: Literal["device"] = "device"
    memory_share: float


class Device(Contract):
    """`label` is for people."""

    label: str
    memory_bytes: int


class TrainJob(jobs.TrainJob):
    memory_share: float


class GreedyJob(jobs.GreedyJob):
    memory_share: float


Job: TypeAdapter[DeviceJob | TrainJob | GreedyJob] = TypeAdapter(
    Annotated[DeviceJob | TrainJob | GreedyJob, Field(discriminator="work")]
)
