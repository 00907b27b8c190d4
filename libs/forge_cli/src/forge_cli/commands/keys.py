"""`forge keys`: who may do what here; and what to type on another machine so that it joins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import typer

from forge_cli import clients
from forge_cli.console import JsonFlag, command, done, escape, note, out, print_json, table, when
from forge_cli.installation import EVERYWHERE, Installation
from forge_cli.stack.certificates import Certificates, own_host
from forge_cli.stack.state import read_state

MAY = {"worker": "train for this machine", "read": "read", "admin": "do everything"}

app = typer.Typer(help="Keys: list, add, revoke.", invoke_without_command=True)


@app.callback()
@command
def list_keys(context: typer.Context, *, json_: JsonFlag = False) -> None:
    """Without a subcommand: all keys, without what is secret of them."""
    if context.invoked_subcommand is not None:
        return
    found = clients.registry().keys()
    if json_:
        print_json(found)
        return
    if not found:
        out.print("there are no keys: this machine's own is in secrets.json")
        note("`forge keys add NAME` makes one for another machine")
        return
    rows = [
        [key["id"], escape(key["name"]), MAY[key["scope"]], _day(key["created_at"]), _day(key["revoked_at"])]
        for key in found
    ]
    table("key", "name", "may", "made", "revoked", rows=rows)


@app.command()
@command
def add(
    name: str,
    *,
    scope: Annotated[
        Literal["worker", "read", "admin"], typer.Option(help="What its holder may do.")
    ] = "worker",
    json_: JsonFlag = False,
) -> None:
    """Make a key, and show it once."""
    here = Installation.find()
    made = clients.registry(here).make_key(name, scope)
    if json_:
        print_json(made | {"join": join_line(here, made["key"])})
        return
    done(f"{escape(made['name'])} may {MAY[made['scope']]}; the key is not shown again:")
    out.print(made["key"], soft_wrap=True)
    if scope == "worker":
        _show_how_to_join(join_line(here, made["key"]))


@app.command()
@command
def revoke(key: str, *, json_: JsonFlag = False) -> None:
    """End a key by its id."""
    clients.registry().revoke_key(key)
    if json_:
        print_json({"revoked": key})
        return
    done(f"{escape(key)} is revoked")


def _day(moment: str | None) -> str:
    return "" if moment is None else when(datetime.fromisoformat(moment), "%d %b %Y")


def _show_how_to_join(line: str | None) -> None:
    if line is None:
        note("no other machine can reach this Forge yet: `forge down`, then `forge up --tls`")
        return
    note("on the other machine, in a clone of this repository (cuda, mlx or cpu):")
    out.print(line, soft_wrap=True, markup=False)


def join_line(here: Installation, key: str) -> str | None:
    """What makes another machine a worker of this one; None when this one listens to itself alone."""
    state = read_state(here)
    if "door" in state.expected:
        url = f"https://{own_host()}:{here.port('registry_tls')}"
        trusted = f" --ca {Certificates(here.certificates).fingerprint}"
    elif EVERYWHERE in getattr(state.processes.get("registry"), "address", ""):
        url, trusted = f"http://{own_host()}:{here.port('registry')}", ""
    else:
        return None
    return f"FORGE_KEY={key} deploy/worker.sh cuda --registry {url}{trusted}"
