"""What the stack consists of, in the order it starts: every part that the environment does not already name by a URL."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2

from forge_cli.installation import EVERYWHERE, LOOPBACK, Installation
from forge_cli.stack.certificates import Certificates, own_host, own_names
from forge_common.local.account import state_folder
from forge_common.local.postgres import Postgres
from forge_common.local.process import ServerDidNotStart, listens, spawn, tail
from forge_common.local.redis import Redis

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Part:
    """One process. `spawn` returns it at once, so that it is never unknown; `answers` says when it is ready."""

    name: str
    spawn: Callable[[], Process]
    log: Path
    answers: Callable[[], bool] = lambda: True
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
        "FORGE_GATEWAY_BIND": here.listens_on,
        "FORGE_COLLECTOR_HOST": here.listens_on,
        "FORGE_REGISTRY_HOST": here.listens_on,
        "PYTHONUNBUFFERED": "1",
    }
    if here.is_tls or here.bind != LOOPBACK:
        # Other than loopback the gateway answers only with keys.
        made.env.setdefault("FORGE_API_KEYS", here.key)
    _postgres(made, here)
    _redis(made, here)
    _engine(made, here)
    _services(made, here)
    if here.is_tls:
        _door(made, here)
    _workers(made, here)
    return made


def _postgres(made: Plan, here: Installation) -> None:
    if given := os.environ.get("FORGE_DATABASE_URL"):
        made.external.append(External("postgres", given.rpartition("@")[2]))
        return
    log, port, password = here.logs / "postgres.log", here.port("postgres"), here.secret("postgres")
    data = state_folder(here.home, "postgres") / "data"
    server = Postgres.at(data, port=port, password=password, log=log)
    made.env["FORGE_DATABASE_URL"] = server.url()
    # SIGINT is Postgres's fast shutdown; SIGTERM would wait for every client to leave.
    address = f"127.0.0.1:{port}"
    made.parts.append(
        Part("postgres", server.spawn, log, server.answers, address=address, stop_signal="SIGINT")
    )


def _redis(made: Plan, here: Installation) -> None:
    if given := os.environ.get("FORGE_BROKER_URL"):
        made.external.append(External("redis", given.rpartition("@")[2]))
        return
    log, port, password = here.logs / "redis.log", here.port("redis"), here.secret("redis")
    server = Redis.at(state_folder(here.home, "redis"), port=port, password=password, log=log)
    server.bind = here.listens_on
    made.env["FORGE_BROKER_URL"] = server.url()
    made.parts.append(Part("redis", server.spawn, log, server.answers, address=f"{here.listens_on}:{port}"))


def _engine(made: Plan, here: Installation) -> None:
    url = made.env["FORGE_ENGINE_URL"] = here.engine()
    # Ollama's own clients, pointed at the collector, reach the engine that the Forge uses.
    made.env.setdefault("FORGE_COLLECTOR_OLLAMA_UPSTREAM", url)
    if url != here.url("engine") or "FORGE_ENGINE_URL" in os.environ:
        made.external.append(External("engine", url))
        return
    made.env["FORGE_ENGINE_PORT"] = str(here.port("engine"))
    made.parts.append(_python(made, here, "engine", "forge_engine", health=f"{url}/api/version"))


def _services(made: Plan, here: Installation) -> None:
    dependencies = {
        "registry": ("postgres", "redis"),
        "collector": ("postgres", "registry"),
        "gateway": ("registry",),
    }
    health = {"registry": "/health", "collector": "/forge/v1/health", "gateway": "/health"}
    for name, after in dependencies.items():
        if given := os.environ.get(f"FORGE_{name.upper()}_URL"):
            made.external.append(External(name, given))
            continue
        made.env[f"FORGE_{name.upper()}_PORT"] = str(here.port(name))
        url = f"{here.url(name)}{health[name]}"
        part = _python(
            made, here, name, f"forge_{name}", health=url, after=after, migrate=name == "collector"
        )
        made.parts.append(replace(part, address=f"http://{here.listens_on}:{here.port(name)}"))


def _door(made: Plan, here: Installation) -> None:
    """TLS for other machines, in front of what runs here. What others run has its own."""
    certificates = Certificates(here.certificates)
    certificates.ensure(own_names())
    inside = {part.name for part in made.parts}
    behind = [name for name in ("gateway", "collector", "registry", "redis") if name in inside]
    ports = {here.port(f"{name}_tls"): here.port(name) for name in behind}
    door = {"host": EVERYWHERE, "certificate": str(certificates.server), "ports": ports}
    made.env |= {
        "FORGE_DOOR": json.dumps(door),
        "FORGE_REGISTRY_TLS_CA": str(certificates.ca),
        # Others than this machine reach the collector: its traffic needs a key, too.
        "FORGE_COLLECTOR_REQUIRE_KEY": "true",
    }
    if "redis" in inside:
        password, port = here.secret("redis"), here.port("redis_tls")
        made.env["FORGE_REGISTRY_TLS_BROKER_URL"] = f"rediss://:{password}@127.0.0.1:{port}/0"
    part = _python(made, here, "door", "forge_cli.stack.door")
    shown = f"https://{own_host()}:{here.port('registry_tls')}"
    made.parts.append(replace(part, answers=lambda: all(listens(port) for port in ports), address=shown))


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
            # Now, so that commands find the tables as soon as `forge up` is done. A Postgres that is away keeps no traffic
            # waiting: the collector spools, and migrates itself when it is back.
            with suppress(ServerDidNotStart):
                _run_once([sys.executable, "-m", module, "migrate"], log, made.env)
        return spawn([sys.executable, "-m", module, *arguments], log=log, env=made.env, cwd=here.home)

    def is_ready() -> bool:
        return health is None or _answers(health)

    return Part(name, start, log, is_ready, after, health.removesuffix("/api/version") if health else "")


def _run_once(command: list[str], log: Path, env: Mapping[str, str]) -> None:
    process = spawn(command, log=log, env=env)
    if process.wait() != 0:
        raise ServerDidNotStart(f"{' '.join(command[-2:])} failed: {tail(log)}", fix=f"see {log}")


def _answers(url: str) -> bool:
    """Any answer will do: a gateway whose engine is away says 503, and is up."""
    try:
        httpx2.get(url, timeout=2.0, trust_env=False)
    except httpx2.HTTPError:
        return False
    return True
