"""What the stack consists of, in the order it starts: every part that the environment does not already name by a URL."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2

from forge_cli.installation import Installation
from forge_common.local.account import state_folder
from forge_common.local.postgres import Postgres
from forge_common.local.process import ServerDidNotStart, spawn, tail, wait_until
from forge_common.local.redis import Redis

Process = subprocess.Popen[bytes]
OLLAMA = "http://127.0.0.1:11434"


@dataclass(frozen=True)
class Part:
    """One process. `start` returns it once it answers; it may raise ServerDidNotStart."""

    name: str
    start: Callable[[], Process]
    log: Path
    after: tuple[str, ...] = ()
    address: str = ""
    stop_signal: str = "SIGTERM"
    # The service that a worker says hello as; empty for what is no worker.
    worker_of: str = ""


@dataclass(frozen=True)
class External:
    """A part that somebody else runs, named by a URL."""

    name: str
    address: str


@dataclass
class Plan:
    """What to start, what is there already, and the environment that every process gets."""

    parts: list[Part] = field(default_factory=list)
    external: list[External] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)


def plan(here: Installation) -> Plan:
    """Decide what is missing. Reads the environment, probes for an Ollama, starts nothing."""
    made = Plan(env=dict(os.environ))
    made.env |= {
        "FORGE_HOME": str(here.home),
        "FORGE_KEY": here.key,
        "FORGE_REGISTRY_URL": here.url("registry"),
        "FORGE_COLLECTOR_URL": here.url("collector"),
        "FORGE_GATEWAY_URL": here.url("gateway"),
        "PYTHONUNBUFFERED": "1",
    }
    _postgres(made, here)
    _redis(made, here)
    _engine(made, here)
    _services(made, here)
    _workers(made, here)
    return made


def _postgres(made: Plan, here: Installation) -> None:
    if given := os.environ.get("FORGE_DATABASE_URL"):
        made.external.append(External("postgres", given.rpartition("@")[2]))
        return
    log = here.logs / "postgres.log"
    port, password = here.port("postgres"), here.secret("postgres")
    data = state_folder(here.home, "postgres") / "data"

    def start() -> Process:
        return Postgres.at(data, port=port, password=password, log=log).start()

    made.env["FORGE_DATABASE_URL"] = f"postgresql+psycopg://forge:{password}@127.0.0.1:{port}/forge"
    # SIGINT is Postgres's fast shutdown; SIGTERM would wait for every client to leave.
    made.parts.append(Part("postgres", start, log, address=f"127.0.0.1:{port}", stop_signal="SIGINT"))


def _redis(made: Plan, here: Installation) -> None:
    if given := os.environ.get("FORGE_BROKER_URL"):
        made.external.append(External("redis", given.rpartition("@")[2]))
        return
    log = here.logs / "redis.log"
    port, password = here.port("redis"), here.secret("redis")
    data = state_folder(here.home, "redis")

    def start() -> Process:
        return Redis.at(data, port=port, password=password, log=log).start()

    made.env["FORGE_BROKER_URL"] = f"redis://:{password}@127.0.0.1:{port}/0"
    made.parts.append(Part("redis", start, log, address=f"127.0.0.1:{port}"))


def _engine(made: Plan, here: Installation) -> None:
    external = os.environ.get("FORGE_ENGINE_URL") or _ollama_host()
    if external is None and "FORGE_ENGINE_PORT" not in os.environ and _answers(f"{OLLAMA}/api/version"):
        external = OLLAMA
    if external:
        made.env["FORGE_ENGINE_URL"] = external
        made.external.append(External("engine", external))
        return
    url = here.url("engine")
    made.env |= {"FORGE_ENGINE_URL": url, "FORGE_ENGINE_PORT": str(here.port("engine"))}
    made.parts.append(_python(made, here, "engine", "forge_engine.cli", health=f"{url}/api/version"))


def _services(made: Plan, here: Installation) -> None:
    for name, after in (
        ("registry", ("postgres", "redis")),
        ("collector", ("postgres", "registry")),
        ("gateway", ("registry",)),
    ):
        if given := os.environ.get(f"FORGE_{name.upper()}_URL"):
            made.external.append(External(name, given))
            continue
        made.env[f"FORGE_{name.upper()}_PORT"] = str(here.port(name))
        health = f"{here.url(name)}{'/forge/v1/health' if name == 'collector' else '/health'}"
        made.parts.append(
            _python(
                made, here, name, f"forge_{name}", health=health, after=after, migrate=name == "collector"
            )
        )


def _workers(made: Plan, here: Installation) -> None:
    after = ("redis", "registry")
    for name, module, arguments, service in (
        # Deploys, sweeps, and carries the beat that rings the sweeps.
        ("deployer", "forge_registry", ("worker",), "registry"),
        ("curator", "forge_collector", ("worker",), "collector"),
        ("evaluator", "forge_evaluator", ("worker",), "evaluator"),
        *((f"trainer-{kind}", f"forge_trainer_{kind}", (), f"trainer-{kind}") for kind in trainers()),
    ):
        part = _python(made, here, name, module, arguments, after=after)
        made.parts.append(replace(part, worker_of=service))


def trainers() -> tuple[str, ...]:
    """The trainers to run here: FORGE_TRAINERS (e.g. `cuda,mlx`), else mlx on Apple silicon and cuda elsewhere.

    trainer-cuda falls back to the CPU where there is no card. A trainer that is not installed is left out.
    """
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    wanted = os.environ.get("FORGE_TRAINERS") or ("mlx" if apple else "cuda")
    libraries = {"cuda": "torch", "mlx": "mlx"}
    kinds = [kind.strip() for kind in wanted.split(",") if kind.strip() in libraries]
    return tuple(kind for kind in kinds if importlib.util.find_spec(libraries[kind]))


def _python(
    made: Plan,
    here: Installation,
    name: str,
    module: str,
    arguments: tuple[str, ...] = (),
    *,
    health: str | None = None,
    after: tuple[str, ...] = (),
    migrate: bool = False,
) -> Part:
    log = here.logs / f"{name}.log"

    def start() -> Process:
        if migrate:
            _run_once([sys.executable, "-m", module, "migrate"], log, made.env)
        process = spawn([sys.executable, "-m", module, *arguments], log=log, env=made.env, cwd=here.home)
        if health is not None:
            wait_until(lambda: _answers(health), process, name=name, log=log, timeout_s=60)
        return process

    address = health.rpartition("/forge/v1")[0] or health.rpartition("/")[0] if health else ""
    return Part(name, start, log, after, address.removesuffix("/api"))


def _run_once(command: list[str], log: Path, env: Mapping[str, str]) -> None:
    process = spawn(command, log=log, env=env)
    if process.wait() != 0:
        raise ServerDidNotStart(f"{' '.join(command[-2:])} failed: {tail(log)}", fix=f"see {log}")


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2.0, trust_env=False).status_code < 500
    except httpx2.HTTPError:
        return False


def _ollama_host() -> str | None:
    given = os.environ.get("OLLAMA_HOST")
    if not given:
        return None
    return given if "://" in given else f"http://{given}"
