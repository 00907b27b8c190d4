"""Tokens per CPU-second: trainer-cuda and trainer-mlx beside the plain TRL + PEFT loop, on the same rows.

    python services/trainer-cuda/bench/trainer_bench.py [--quick | --large] [--rows N] [--rounds N]

Conversations of the nano domain; the same token ids, labels, epochs, rows a step, rank, targets, optimizer and seed for
all; one thread. Children take turns; medians. Only real tokens count, never padding. "Steps" are the loop alone, without
its first step; "process" is the whole child with its imports. At the end all adapters are judged by the same code on the
same held-out rows.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from chats import write_chats
from peer_environment import peer_python
from tables import table

from forge_common import nano
from forge_common.contracts.domain import TrainingRules
from forge_common.weights.batches import BatchPlan
from forge_common.weights.rows import EncodedRows, TokenRow

FLOOR = 1.3
HERE = Path(__file__).parent
PLAIN = "TRL + PEFT, nothing recomputed"
DEFAULTS = "TRL + PEFT, its defaults"
PACKED = "TRL + PEFT, its packing"
OURS = ("trainer-cuda", "trainer-mlx")
RULES = {
    "rank": 16,
    "alpha": 32,
    "epochs": 1,
    "batch_size": 16,
    "learning_rate": 3e-3,
    "warmup_steps": 2,
    # Once, after the last step: TRL's loop does not evaluate either.
    "evaluate_every": 100_000,
    "max_seq_length": 1024,
    "seed": 1,
    "method": "lora",
}


@dataclass
class Entrant:
    """`command` runs it on a file; `task` is that file's content."""

    name: str
    command: Sequence[str]
    task: Mapping[str, Any]
    environment: Mapping[str, str]
    first: int | None = None
    """Tokens of its first step; None for who says so itself."""
    steps: list[float] = field(default_factory=list)
    process: list[float] = field(default_factory=list)
    adapter: Path | None = None

    def run(self, folder: Path, tokens: int, labelled: int) -> None:
        """Raises UnlikeTheOthers when it learned from other tokens."""
        task = folder / "task.json"
        task.write_text(json.dumps({**self.task, "workdir": str(folder)}))
        told, cpu = self._ran([*self.command, str(task)], folder / "stderr")
        if told.get("labelled", labelled) != labelled:
            raise UnlikeTheOthers(f"{self.name} learned from {told['labelled']} tokens, not from {labelled}")
        self.process.append(tokens / cpu)
        # The first step is warm-up: between its end and the last one's lie the tokens of all but that.
        first = told["seen"][0] if self.first is None else self.first
        self.steps.append((tokens - first) / (told["cpu"][-1] - told["cpu"][0]))
        self.adapter = Path(told.get("adapter") or folder)

    def _ran(self, command: Sequence[str], errors: Path) -> tuple[dict[str, Any], float]:
        """Its answer, and the CPU seconds of the whole process."""
        # Python keeps what it compiled, as it does on a user's machine.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        before = _children_cpu()
        with errors.open("w") as file:
            done = subprocess.run(
                command, env=inherited | self.environment, stdout=subprocess.PIPE, stderr=file, text=True, check=False
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{self.name} ended with {done.returncode}:\n{errors.read_text()[-3000:]}")
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told, _children_cpu() - before


class UnlikeTheOthers(Exception):
    """What was compared is not the same work."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    parser.add_argument("--large", action="store_true", help="more rows, and all ways of running TRL")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    rows, rounds = (32, 1) if options.quick else (320, 3) if options.large else (96, 3)
    with tempfile.TemporaryDirectory() as home:
        return compare(Path(home), options.rows or rows, options.rounds or rounds, options)


def compare(home: Path, rows: int, rounds: int, options: argparse.Namespace) -> int:
    job = _job(home, rows)
    train, valid = _encoded(job)
    lengths = sorted(len(row.tokens) for row in train.rows)
    tokens = sum(lengths) * RULES["epochs"]
    labelled = sum(row.targets for row in train.rows) * RULES["epochs"]
    print(f"{len(lengths)} conversations of {lengths[0]} to {lengths[-1]} tokens, median {median(lengths):.0f}, "
          f"{tokens} in all, of them {labelled} learned from; {rounds} rounds", flush=True)  # fmt: skip
    first = _first_step([len(row.tokens) for row in train.rows])
    entrants = [*_ours(job, first), *_peers(job, train, all_ways=options.large)]
    for number in range(rounds):
        for entrant in entrants if number % 2 == 0 else reversed(entrants):
            folder = home / f"{number}-{entrants.index(entrant)}"
            folder.mkdir()
            entrant.run(folder, tokens, labelled)
            print(f"  round {number + 1}: {entrant.name}: {entrant.steps[-1]:.0f} tokens per CPU-second, "
                  f"{entrant.process[-1]:.0f} with its start", flush=True)  # fmt: skip
    _show(entrants, valid)
    return 0 if options.quick else _verdict(entrants)


def _show(entrants: Sequence[Entrant], valid: Sequence[TokenRow]) -> None:
    reference = next((each for each in entrants if each.name == PLAIN), None)
    rows = [
        (each.name, round(median(each.steps)), _ratio(each.steps, reference and reference.steps),
         round(median(each.process)), _ratio(each.process, reference and reference.process),
         _held_out_loss(each, valid))
        for each in entrants
    ]  # fmt: skip
    table("Training on chat-length rows, real tokens per CPU-second",
          ("", "steps", "x TRL", "process", "x TRL", "held-out loss"), rows)  # fmt: skip


def _ratio(mine: Sequence[float], theirs: Sequence[float] | None) -> float | None:
    """The median of the rounds' ratios: what else the machine did then, it did to both."""
    return median(a / b for a, b in zip(mine, theirs, strict=True)) if theirs else None


def _verdict(entrants: Sequence[Entrant]) -> int:
    steps = {each.name: each.steps for each in entrants}
    if PLAIN not in steps:
        print("floor not judged: no peer to hold us against")
        return 0
    ratios = {name: _ratio(steps[name], steps[PLAIN]) or 0.0 for name in steps if name.startswith(OURS)}
    for name, ratio in ratios.items():
        print(f"floor: {name} at least {FLOOR} x TRL: {'met' if ratio >= FLOOR else 'MISSED'} ({ratio:.2f})")
    return 0 if min(ratios.values()) >= FLOOR else 1


def _first_step(lengths: Sequence[int]) -> int:
    """Tokens that our trainers' first step works on."""
    _, rows = next(BatchPlan(lengths, TrainingRules.model_validate(RULES)).batches(0))
    return sum(lengths[row] for row in rows)


def _ours(job: dict[str, Any], first: int) -> list[Entrant]:
    from forge_trainer_cuda.settings import Settings as CudaSettings

    command = [sys.executable, str(HERE / "entrants.py")]
    settings = CudaSettings(threads=1)
    cuda = {"device": "cpu", "max_tokens_at_once": settings.max_tokens_at_once}
    found = [Entrant(OURS[0], [*command, "cuda"], job | cuda, settings.child_environment(), first)]
    if find_spec("mlx") is None or find_spec("forge_trainer_mlx") is None:
        print("left out: trainer-mlx, mlx is not installed here")
        return found
    from forge_trainer_mlx.environment import child_environment, find_openblas
    from forge_trainer_mlx.settings import Settings as MlxSettings

    settings_mlx = MlxSettings(threads=1)
    facts = {"memory_share": settings_mlx.memory_share, "max_tokens_at_once": settings_mlx.max_tokens_at_once}
    name = OURS[1] if find_openblas() else f"{OURS[1]} without OpenBLAS"
    environment = child_environment(settings_mlx, os.environ)
    return [*found, Entrant(name, [*command, "mlx"], job | facts, environment, first)]


def _peers(job: dict[str, Any], train: EncodedRows, *, all_ways: bool) -> list[Entrant]:
    python = peer_python()
    if python is None:
        return []
    from forge_trainer_cuda.settings import Settings

    task = {
        "rules": job["rules"],
        "base": job["base"],
        "tokenizer": job["base"],
        "rows_at_once": RULES["batch_size"],
        "recompute": False,
        "tokens": [row.tokens for row in train.rows],
        "masks": [[int(flag) for flag in row.loss_mask] for row in train.rows],
    }
    ways = {PLAIN: {}, DEFAULTS: {"recompute": True}, PACKED: {"packing": True, **_rows_of_a_pack(train)}}
    command, environment = [str(python), str(HERE / "peer_trl.py")], Settings(threads=1).child_environment()
    return [
        Entrant(name, command, task | way, environment)
        for name, way in ways.items()
        if all_ways or name == PLAIN
    ]


def _rows_of_a_pack(train: EncodedRows) -> dict[str, Any]:
    """As many full rows to a step as hold the tokens of a step of the others."""
    mean = sum(len(row.tokens) for row in train.rows) / len(train.rows)
    rows = max(1, round(RULES["batch_size"] * mean / RULES["max_seq_length"]))
    return {"rows_at_once": rows, "rules": RULES | {"batch_size": rows}}


def _job(home: Path, rows: int) -> dict[str, Any]:
    return {
        "work": "train",
        "base": str(nano.base_dir()),
        "base_name": "nano",
        "train": str(write_chats(home / "train.jsonl", rows, seed=1)),
        "valid": str(write_chats(home / "valid.jsonl", 48, seed=2)),
        "system_prompt": "",
        "rules": RULES,
    }


def _encoded(job: dict[str, Any]) -> tuple[EncodedRows, Sequence[TokenRow]]:
    from forge_common.weights.jobs import TrainJob
    from forge_common.weights.rows import training_rows
    from forge_common.weights.tokenizer import ChatTokenizer

    whole = TrainJob.model_validate({**job, "workdir": "", "max_tokens_at_once": 8192})
    return training_rows(whole, ChatTokenizer(nano.base_dir()))


def _held_out_loss(entrant: Entrant, valid: Sequence[TokenRow]) -> float | None:
    """By the same code for everybody: who learned less in the same steps cheated."""
    from forge_trainer_cuda.memory import Room
    from forge_trainer_cuda.model import go_on_from, load_trainable
    from forge_trainer_cuda.train import evaluate

    assert entrant.adapter is not None
    rules = TrainingRules.model_validate(RULES)
    model = load_trainable(nano.base_dir(), rules, "cpu")
    go_on_from(model, entrant.adapter, rules)
    return evaluate(model, valid, Room(8192, print), "cpu")


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
