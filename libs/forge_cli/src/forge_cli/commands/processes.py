"""`forge serve` and `forge worker`: one process in the foreground, for machines that do only that."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from forge_cli.console import JsonFlag, command, err, print_json
from forge_cli.installation import Installation
from forge_common.contracts.runs import Hardware
from forge_common.errors import Invalid
from forge_common.http.trust import CA_FILE, obtain_ca

# Belongs to the registry's machine, and would be wrong or secret on another.
NOT_A_WORKERS = frozenset({"FORGE_DATABASE_URL", "FORGE_BROKER_URL", "FORGE_API_KEYS"})


@command
def serve(
    *,
    bind: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback needs keys.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default 18793.")] = None,
    json_: JsonFlag = False,
) -> None:
    """The gateway alone, against whatever registry and engine are configured."""
    here = Installation.find()
    env = _environment(here) | {
        "FORGE_GATEWAY_BIND": bind,
        "FORGE_GATEWAY_PORT": str(port or here.port("gateway")),
    }
    if json_:
        print_json({"url": f"http://{bind}:{env['FORGE_GATEWAY_PORT']}"})
    _become("forge_gateway", env)


@command
def worker(
    hardware: Annotated[Hardware, typer.Argument(help="cuda, mlx or cpu.")],
    *,
    registry: Annotated[str | None, typer.Option(help="The registry's URL; default: this machine's.")] = None,
    key: Annotated[
        str | None, typer.Option(help="A worker key; better in FORGE_KEY.", envvar="FORGE_KEY")
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            help="Over https: the private CA's PEM file, or its fingerprint as `forge keys add` shows it, sha256:…"
        ),
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="The broker's URL; default: the one that the registry hands out.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """A training worker on this machine, e.g. a GPU box for a Mac's Forge."""
    if hardware is Hardware.AUTO:
        raise Invalid(
            "a worker needs its hardware named", fix="forge worker cuda, forge worker mlx or forge worker cpu"
        )
    here = Installation.find()
    env = _environment(here) if registry is None else _joining(here, registry, key, ca)
    env |= {"FORGE_WORKER_BROKER": broker} if broker else {}
    if hardware is not Hardware.MLX:
        env["FORGE_TRAINER_CUDA_DEVICE"] = str(hardware)
    if json_:
        print_json({"hardware": hardware, "registry": env["FORGE_REGISTRY_URL"]})
    _become("forge_trainer_mlx" if hardware is Hardware.MLX else "forge_trainer_cuda", env)


def _joining(here: Installation, registry: str, key: str | None, ca: str | None) -> dict[str, str]:
    """For a worker of another machine's Forge: a URL, a key, a CA, and nothing of a database."""
    if not key:
        raise Invalid(
            f"{registry} lets nobody in without a key",
            fix="`forge keys add NAME` there makes one; give it as FORGE_KEY",
        )
    env = {name: value for name, value in os.environ.items() if name not in NOT_A_WORKERS}
    if ca:
        env[CA_FILE] = str(obtain_ca(registry, ca, here.home / "ca.pem"))
    return env | {
        "FORGE_HOME": str(here.home),
        "FORGE_KEY": key,
        "FORGE_REGISTRY_URL": registry,
        "FORGE_LOG_FORMAT": os.environ.get("FORGE_LOG_FORMAT", "console"),
    }


def _environment(here: Installation) -> dict[str, str]:
    return dict(os.environ) | {
        "FORGE_HOME": str(here.home),
        "FORGE_KEY": here.key,
        "FORGE_REGISTRY_URL": here.url("registry"),
        "FORGE_ENGINE_URL": here.engine(),
        "FORGE_LOG_FORMAT": os.environ.get("FORGE_LOG_FORMAT", "console"),
    }


def _become(module: str, env: dict[str, str]) -> NoReturn:
    err.print(f"[dim]{module.replace('_', '-')} · ctrl-c stops it[/]")
    os.execve(sys.executable, [sys.executable, "-m", module], env)  # noqa: S606  this process turns into the service
