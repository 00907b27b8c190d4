"""The jobs of the child process: the trainers' common ones, and which device torch works on. No torch in here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from forge_common.weights import jobs

DeviceKind = Literal["cuda", "cpu"]


class TrainJob(jobs.TrainJob):
    device: DeviceKind


class GreedyJob(jobs.GreedyJob):
    device: DeviceKind


Job: TypeAdapter[TrainJob | GreedyJob] = TypeAdapter(
    Annotated[TrainJob | GreedyJob, Field(discriminator="work")]
)
