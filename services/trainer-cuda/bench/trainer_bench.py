"""Tokens per CPU-second: trainer-cuda and trainer-mlx beside the plain TRL + PEFT loop, on the same rows.

    python services/trainer-cuda/bench/trainer_bench.py [--quick]

Conversations of the nano domain; the same token ids, epochs, rows a step, rank, optimizer and seed for all; one thread.
Children take turns, several rounds; medians. Only real tokens count, never padding. "Steps" are the loop alone; "process"
is the whole child with its imports. At the end all adapters are judged by the same code on the same held-out rows.
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
from forge_common.weights.rows import EncodedRows, TokenRow

FLOOR = 1.3
HERE = Path(__file__).parent
PLAIN = "TRL + PEFT, nothing recomputed"
OURS = "trainer-cuda"
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
    steps: list[float] = field(default_factory=list)
    process: list[float] = field(default_factory=list)
    adapter: Path | None = None

    def run(self, folder: Path, tokens: int) -> None:
        task = folder / "task.json"
        task.write_text(json.dumps({**self.task, "workdir": str(folder)}))
        before = _children_cpu()
        done = subprocess.run(
            [*self.command, str(task)],
            env=os.environ | self.environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        self.process.append(tokens / (_children_cpu() - before))
        told = json.loads(done.stdout.splitlines()[-1])
        ends = told["cpu"]
        # The first step is warm-up: between its end and the last one's lie all steps but one.
        self.steps.append(tokens * (len(ends) - 1) / len(ends) / (ends[-1] - ends[0]))
        self.adapter = Path(told.get("adapter") or folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows, rounds = (32, 1) if options.quick else (options.rows, options.rounds)
    with tempfile.TemporaryDirectory() as home:
        return compare(Path(home), rows, rounds, is_smoke=options.quick)


def compare(home: Path, rows: int, rounds: int, *, is_smoke: bool) -> int:
    job = _job(home, rows)
    train, valid = _encoded(job)
    lengths = sorted(len(row.tokens) for row in train.rows)
    tokens = sum(lengths) * RULES["epochs"]
    print(f"{len(lengths)} conversations of {lengths[0]} to {lengths[-1]} tokens, median {median(lengths):.0f}, "
          f"{rounds} rounds")  # fmt: skip
    entrants = [*_ours(job), *_peers(job, train)]
    for number in range(rounds):
        for entrant in entrants if number % 2 == 0 else reversed(entrants):
            folder = home / f"{number}-{entrants.index(entrant)}"
            folder.mkdir()
            entrant.run(folder, tokens)
    _show(entrants, valid)
    return 0 if is_smoke else _verdict(entrants)


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
    ratio = _ratio(steps[OURS], steps.get(PLAIN))
    if ratio is None:
        print(f"floor not judged: no peer to hold {OURS} against")
        return 0
    print(f"floor: {OURS} at least {FLOOR} x TRL: {'met' if ratio >= FLOOR else 'MISSED'} ({ratio:.2f})")
    return 0 if ratio >= FLOOR else 1


def _ours(job: dict[str, Any]) -> list[Entrant]:
    from forge_trainer_cuda.settings import Settings as CudaSettings

    command = [sys.executable, str(HERE / "entrants.py")]
    settings = CudaSettings(threads=1)
    cuda = {"device": "cpu", "max_tokens_at_once": settings.max_tokens_at_once}
    found = [Entrant(OURS, [*command, "cuda"], job | cuda, settings.child_environment())]
    if find_spec("mlx") is None or find_spec("forge_trainer_mlx") is None:
        print("left out: trainer-mlx, mlx is not installed here")
        return found
    from forge_trainer_mlx.environment import child_environment, find_openblas
    from forge_trainer_mlx.settings import Settings as MlxSettings

    settings_mlx = MlxSettings(threads=1)
    facts = {"memory_share": settings_mlx.memory_share, "max_tokens_at_once": settings_mlx.max_tokens_at_once}
    name = "trainer-mlx" if find_openblas() else "trainer-mlx without OpenBLAS"
    return [
        *found,
        Entrant(name, [*command, "mlx"], job | facts, child_environment(settings_mlx, os.environ)),
    ]


def _peers(job: dict[str, Any], train: EncodedRows) -> list[Entrant]:
    python = peer_python()
    if python is None:
        return []
    from forge_trainer_cuda.settings import Settings

    task = {
        "rules": job["rules"],
        "base": job["base"],
        "tokenizer": job["base"],
        "rows_at_once": RULES["batch_size"],
        "tokens": [row.tokens for row in train.rows],
        "masks": [[int(flag) for flag in row.loss_mask] for row in train.rows],
    }
    command, environment = [str(python), str(HERE / "peer_trl.py")], Settings(threads=1).child_environment()
    return [
        Entrant(PLAIN, command, task | {"recompute": False}, environment),
        Entrant("TRL + PEFT, its defaults", command, task | {"recompute": True}, environment),
    ]


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
    from forge_common.contracts.domain import TrainingRules
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
