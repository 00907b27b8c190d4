"""Seconds from a dataset to a deployed adapter: a whole Forge of its own, started by `forge init`, driven over its HTTP.

    python services/trainer-cuda/bench/pipeline_bench.py [--quick | --large]

Real registry with its Postgres and broker, real trainer, real engine; the nano domain as it is shipped, trained on the CPU.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
from chats import write_chats
from tables import table

from forge_cli.installation import DEFAULT_PORTS, Installation
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.runs import Hardware, RunKind, RunRequest, RunState, RunView
from forge_common.contracts.stages import DeployResult
from forge_common.http.registry import RegistryClient
from forge_common.local.account import service_account, state_folder
from forge_common.local.process import free_port

DOMAIN = "nano"
VALID_ROWS = 24
PATIENCE_S = 900
# What the seconds between a run's states are spent on.
WORK = {
    RunState.QUEUED: "claimed by the trainer",
    RunState.TRAINING: "train",
    RunState.EXPORTING: "export, verified in llama.cpp",
    RunState.DEPLOYING: "deploy, probed in the engine",
}


@dataclass(frozen=True)
class Forge:
    """One installation in a folder of its own, on free ports."""

    home: Path
    environment: Mapping[str, str]

    @property
    def key(self) -> str:
        return Installation(self.home).secret("key")

    @property
    def registry_url(self) -> str:
        return f"http://127.0.0.1:{self.environment['FORGE_REGISTRY_PORT']}"

    def command(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "forge_cli", *arguments],
            env=self.environment, stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip

    def ask(self, model: str, prompt: str) -> str:
        """Through the gateway, as people do."""
        url = f"http://127.0.0.1:{self.environment['FORGE_GATEWAY_PORT']}/v1/chat/completions"
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
        answer = httpx2.post(url, json=body, headers={"x-api-key": self.key}, timeout=60)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return str(told["choices"][0]["message"]["content"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    parser.add_argument("--large", action="store_true", help="more conversations")
    options = parser.parse_args()
    rows = 32 if options.quick else 400 if options.large else 100
    with running_forge() as forge:
        return measure(forge, rows)


@contextmanager
def running_forge() -> Iterator[Forge]:
    home = Path(tempfile.mkdtemp(prefix="forge-bench-"))
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("FORGE_", "OLLAMA_"))}
    ours |= {"FORGE_HOME": str(home), "FORGE_TRAINER_CUDA_DEVICE": "cpu"}
    # Python keeps what it compiled, as it does on a user's machine.
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    forge = Forge(home, ours | {f"FORGE_{part.upper()}_PORT": str(free_port()) for part in DEFAULT_PORTS})
    try:
        started = time.monotonic()
        forge.command("init", "--domain", DOMAIN, "--json")
        print(f"a Forge is up after {time.monotonic() - started:.1f} s", flush=True)
        yield forge
    finally:
        forge.command("down", "--json")
        if service_account().uid is not None:
            shutil.rmtree(state_folder(home, "postgres").parent, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def measure(forge: Forge, rows: int) -> int:
    registry = RegistryClient(forge.registry_url, forge.key)
    artifacts = ArtifactClient(forge.registry_url, forge.key, forge.home / "cache" / "bench")
    # The base is deployed once, when a domain is first used; its versions are adapters on it.
    followed(registry, RunRequest(domain=DOMAIN, kind=RunKind.BASE, hardware=Hardware.CPU))
    dataset = push_dataset(artifacts, forge.home, rows)

    run, entered = followed(registry, RunRequest(domain=DOMAIN, dataset=dataset, hardware=Hardware.CPU))
    show(run, entered, rows)
    if run.state is not RunState.EVALUATING:
        print(f"MISSED: the run ended as {run.state}: {run.error}")
        return 1
    registry.cancel_run(run.id)
    return judge(registry, forge, run)


def followed(
    registry: RegistryClient, request: RunRequest
) -> tuple[RunView, list[tuple[RunState, datetime]]]:
    """Start a run and go with it until it is evaluated or over; when it came into which state."""
    view = registry.start_run(request)
    entered = [(RunState.QUEUED, view.created_at)]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for event in registry.events(view.id):
            if event.event == "run.state" and event.state is not entered[-1][0]:
                entered.append((event.state, event.at))
            if event.state is RunState.EVALUATING or event.state.is_final:
                return registry.run(view.id), entered
    raise TimeoutError(f"run {view.id} was not deployed within {PATIENCE_S} s")


def show(run: RunView, entered: list[tuple[RunState, datetime]], rows: int) -> None:
    spent = [
        (WORK.get(state, state.value), (left - came).total_seconds())
        for (state, came), (_, left) in pairwise(entered)
    ]
    table(f"From a dataset of {rows} conversations to a deployed adapter ({run.domain}, CPU)", ("stage", "seconds"),
          [*spent, ("together", sum(seconds for _, seconds in spent))])  # fmt: skip


def judge(registry: RegistryClient, forge: Forge, run: RunView) -> int:
    """Whether it is really there: the registry says so, and what is deployed answers."""
    version = next(each for each in registry.versions(DOMAIN) if each.number == run.version)
    answer = forge.ask(
        version.model, "Write a Python function get_n(values) that returns the number of values."
    )
    print(
        f"{version.model} is {'deployed' if version.is_deployed else 'NOT deployed'} and answers {answer!r}"
    )
    result = next(stage.result for stage in run.stages if stage.kind == "deploy")
    deployed = DeployResult.model_validate(result).deployed[-1]
    print(
        f"{deployed.probes_equal} of {deployed.probes_asked} of its probes are answered as the exported files do"
    )
    return 0 if version.is_deployed and answer else 1


def push_dataset(artifacts: ArtifactClient, folder: Path, rows: int) -> str:
    train = artifacts.push(write_chats(folder / "train.jsonl", rows, seed=1), "dataset")
    valid = artifacts.push(write_chats(folder / "valid.jsonl", VALID_ROWS, seed=2), "dataset")
    manifest = DatasetManifest(
        domain=DOMAIN, train=train, valid=valid, train_rows=rows, valid_rows=VALID_ROWS, seen=rows
    )
    return artifacts.push_bytes(manifest.model_dump_json().encode(), "dataset").sha256


if __name__ == "__main__":
    sys.exit(main())
