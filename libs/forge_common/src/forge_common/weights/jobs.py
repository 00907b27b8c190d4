"""What a trainer's worker asks of its child process and what it gets back. Paths are local to this machine.

A trainer's own jobs add what only its framework must know.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from forge_common.contracts.base import Contract
from forge_common.contracts.domain import TrainingRules
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import CurvePoint


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

    def fingerprint(self, *without: str) -> str:
        """Names what a checkpoint must have been made from to be gone on with; of no matter are paths and `without`."""
        facts = self.model_dump_json(exclude={"train", "valid", "workdir", *without}).encode()
        data = (Path(self.train).read_bytes(), Path(self.valid).read_bytes())
        return hashlib.sha256(b"\0".join((facts, *data))).hexdigest()[:16]


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
    split: int
    too_long: int
    max_seq_length: int


class GreedyJob(Contract):
    """Answer `prompts` greedily, once for each of `adapters` (None: the bare base)."""

    work: Literal["greedy"] = "greedy"
    base: str
    prompts: tuple[tuple[Message, ...], ...]
    adapters: tuple[str | None, ...]
    max_tokens: int


class Answer(Contract):
    tokens: tuple[int, ...]
    text: str
    first_logprob: float | None


class GreedyOutcome(Contract):
    """`answers[i][j]` is adapter `i`'s to prompt `j`."""

    answers: tuple[tuple[Answer, ...], ...]
