"""The task table: which name rings which queue with which payload. Publisher and worker import this, never each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from forge_common.contracts.base import Payload, StageId
from forge_common.contracts.runs import Hardware
from forge_common.contracts.stages import StageKind


class Doorbell(Payload):
    """There is work: claim the stage at the registry."""

    stage_id: StageId


class Tick(Payload):
    """A beat's tick: carries nothing, and doing it twice does no harm."""


P = TypeVar("P", bound=Payload)


@dataclass(frozen=True)
class TaskSpec(Generic[P]):
    """A promise between services: this name, on this queue, carries this payload."""

    name: str
    queue: str
    payload: type[P]
    owner: str


PREPARE = TaskSpec("forge.collector.prepare", "collector", Doorbell, "collector")
SHADOW = TaskSpec("forge.collector.shadow", "collector", Tick, "collector")
TRAIN_CUDA = TaskSpec("forge.trainer_cuda.work", "train.cuda", Doorbell, "trainer-cuda")
TRAIN_CPU = TaskSpec("forge.trainer_cuda.work", "train.cpu", Doorbell, "trainer-cuda")
TRAIN_MLX = TaskSpec("forge.trainer_mlx.work", "train.mlx", Doorbell, "trainer-mlx")
DEPLOY = TaskSpec("forge.registry.deploy", "deploy", Doorbell, "registry")
EVALUATE = TaskSpec("forge.evaluator.evaluate", "evaluate", Doorbell, "evaluator")
SWEEP = TaskSpec("forge.registry.sweep", "registry", Tick, "registry")

TASKS: tuple[TaskSpec[Doorbell] | TaskSpec[Tick], ...] = (
    PREPARE,
    SHADOW,
    TRAIN_CUDA,
    TRAIN_CPU,
    TRAIN_MLX,
    DEPLOY,
    EVALUATE,
    SWEEP,
)

TRAINERS: dict[Hardware, TaskSpec[Doorbell]] = {
    Hardware.CUDA: TRAIN_CUDA,
    Hardware.MLX: TRAIN_MLX,
    Hardware.CPU: TRAIN_CPU,
}


def bell_for(stage: StageKind, hardware: Hardware) -> TaskSpec[Doorbell]:
    """The doorbell of a stage; training and exporting go to the hardware's own queue."""
    if stage in (StageKind.TRAIN, StageKind.EXPORT):
        return TRAINERS[hardware]
    return {StageKind.PREPARE: PREPARE, StageKind.DEPLOY: DEPLOY, StageKind.EVALUATE: EVALUATE}[stage]


def table() -> str:
    """The task table in Markdown, as `docs/architecture.md` shows it."""
    rows = [f"| `{t.name}` | `{t.queue}` | `{t.payload.__name__}` | {t.owner} |" for t in TASKS]
    return "\n".join(["| task | queue | payload | owner |", "|---|---|---|---|", *rows])
