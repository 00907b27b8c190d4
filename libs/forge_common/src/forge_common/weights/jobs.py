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
from forge_common.contracts.stages import CurvePoint, Preferred

# Facts of a job that may change between a kill and going on, those of some trainers among them: how much memory there is,
# and where the base lies. Gradients are sums over rows, however these are cut.
OF_NO_MATTER = ("max_tokens_at_once", "memory_share", "sharded")


class TrainJob(Contract):
    """Train a LoRA on `train`, judge it on `valid`; both are JSON Lines of dataset rows. `workdir` survives a kill.

    `parent` is the folder of an adapter to go on from, `replay` rows of its dataset, `preferences` pairs for DPO.
    """

    work: Literal["train"] = "train"
    base: str
    base_name: str
    train: str
    valid: str
    system_prompt: str
    rules: TrainingRules
    workdir: str
    max_tokens_at_once: int
    parent: str | None = None
    replay: str | None = None
    preferences: str | None = None

    def fingerprint(self, *without: str) -> str:
        """Names what a checkpoint must have been made from to be gone on with; of no matter are paths and `without`."""
        paths = ("train", "valid", "parent", "replay", "preferences")
        facts = self.model_dump_json(exclude={*paths, "workdir", *without}).encode()
        given = [Path(path) for path in (self.train, self.valid, self.replay, self.preferences) if path]
        if self.parent:
            given.append(Path(self.parent) / "adapter_model.safetensors")
        return hashlib.sha256(b"\0".join((facts, *(path.read_bytes() for path in given)))).hexdigest()[:16]


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
    pairs_split: int = 0
    pairs_too_long: int = 0
    preferred: Preferred | None = None


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
