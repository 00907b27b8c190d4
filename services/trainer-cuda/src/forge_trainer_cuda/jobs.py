"""The jobs of the child process: the trainers' common ones, and which device torch works on. No torch in here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from forge_common.contracts.base import Contract
from forge_common.weights import jobs

DeviceKind = Literal["cuda", "cpu"]
Stage = Literal["sft", "dpo"]


class TrainJob(jobs.TrainJob):
    """`cards` of this machine work on it together; on the CPU as many processes.

    `sharded` divides the base among them; None where arithmetic is to say whether one card holds it.
    """

    device: DeviceKind
    cards: int = 1
    compiled: bool = False
    sharded: bool | None = None


class Lending(Contract):
    """What the process of a further card is started with: whom it joins, and in which stage of the job.

    `longest_pair` is the most tokens of both rows of a pair that is learned; None where all are.
    """

    job: TrainJob
    rank: int
    port: int
    stage: Stage
    longest_pair: int | None = None


class GreedyJob(jobs.GreedyJob):
    """Answered on one card; the other facts are the training's."""

    device: DeviceKind
    cards: int = 1
    compiled: bool = False


Job: TypeAdapter[TrainJob | GreedyJob] = TypeAdapter(
    Annotated[TrainJob | GreedyJob, Field(discriminator="work")]
)
