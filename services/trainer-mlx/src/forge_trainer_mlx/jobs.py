"""What the worker asks of its child process and what it gets back. Paths are local to this machine; no mlx in here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from forge_common.contracts.base import Contract
from forge_common.contracts.domain import TrainingRules
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import CurvePoint


class DeviceJob(Contract):
    """Load mlx as the other jobs do, and say what it runs on. `memory_share` is of Metal's working set, in all jobs."""

    work: Literal["device"] = "device"
    memory_share: float


class Device(Contract):
    """`label` is for people."""

    label: str
    memory_bytes: int


class TrainJob(Contract):
    """Train a LoRA on `train`, judge it on `valid`; both are JSON Lines of dataset rows. `workdir` survives a kill."""

    work: Literal["train"] = "train"
    base: str
    base_name: str
    train: str
    valid: str
    system_prompt: str
    rules: TrainingRules
    workdir: str
    max_tokens_at_once: int
    memory_share: float


class TrainOutcome(Contract):
    """`adapter` is a folder in PEFT's layout, the best checkpoint's. Fields as in `TrainResult`."""

    adapter: str
    curve: tuple[CurvePoint, ...]
    steps: int
    best_step: int
    train_loss: float
    valid_loss: float | None
    tokens: int
    seconds: float
    peak_memory_bytes: int
    too_long: int


class GreedyJob(Contract):
    """Answer `prompts` greedily, once for each of `adapters` (None: the bare base)."""

    work: Literal["greedy"] = "greedy"
    base: str
    prompts: tuple[tuple[Message, ...], ...]
    adapters: tuple[str | None, ...]
    max_tokens: int
    memory_share: float


class Answer(Contract):
    tokens: tuple[int, ...]
    text: str
    first_logprob: float | None


class GreedyOutcome(Contract):
    """`answers[i][j]` is adapter `i`'s to prompt `j`."""

    answers: tuple[tuple[Answer, ...], ...]


Job: TypeAdapter[DeviceJob | TrainJob | GreedyJob] = TypeAdapter(
    Annotated[DeviceJob | TrainJob | GreedyJob, Field(discriminator="work")]
)
