"""`forge up`, `forge down`, `forge status`."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from forge_cli import loop_shown
from forge_cli.console import JsonFlag, command, done, err, note, print_json, table
from forge_cli.installation import Installation
from forge_cli.stack.certificates import Certificates
from forge_cli.stack.control import bring_down, bring_up
from forge_cli.stack.state import StackState, read_state, running, supervisor_is_alive
from forge_common.errors import Cancelled, Conflict

FOR_PEOPLE = {
    "gateway": "answers: point OpenAI SDKs here, at /v1",
    "collector": "capture: point your tools here",
    "registry": "decisions: REST and run history",
    "engine": "serves the models",
    "door": "TLS for other machines: `forge keys add NAME` says how they join",
}


class DoorClosed(Conflict):
    """What runs was started without TLS."""


class StoppedWaiting(Cancelled):
    """Ctrl-C while the stack started."""


@command
def up(
    *,
    bind: Annotated[
        str | None,
        typer.Option(help="0.0.0.0 listens for other machines, too; keys are then required."),
    ] = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls",
            help="Let other machines in, over TLS only, with a CA and certificates that are made here.",
        ),
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Start everything that is missing on this machine."""
    if bind is not None:
        os.environ["FORGE_BIND"] = bind
    if tls:
        os.environ["FORGE_TLS"] = "1"
    here = Installation.find()
    _ = here.bind
    started = start(here)
    check_door(here, read_state(here))
    if json_:
        print_json({"started": started, **_overview(here)})
        return
    done("The Forge is up." if started else "The Forge is up already: nothing to do.")
    _screen(here)


@command
def down(*, json_: JsonFlag = False) -> None:
    """Stop everything that `forge up` started."""
    stopped = bring_down(Installation.find())
    if json_:
        print_json({"stopped": stopped})
        return
    done("The Forge is down." if stopped else "Nothing was running.")


@command
def status(*, json_: JsonFlag = False) -> None:
    """Where everything is, what has been captured, what is live, what runs."""
    here = Installation.find()
    overview = _overview(here) | loop_shown.ask()
    if json_:
        print_json(overview)
        return
    _screen(here)
    if overview["parts"] or overview["external"] or "domain" in overview or "data" in overview:
        loop_shown.show(overview, here.url("collector"))


def start(here: Installation) -> bool:
    """`bring_up`, with what is waited for on the screen. Raises StoppedWaiting at Ctrl-C: the parts go on starting."""
    try:
        with Live(console=err, transient=True, refresh_per_second=8) as live:
            return bring_up(here, lambda state: live.update(_waiting(state)))
    except KeyboardInterrupt:
        raise StoppedWaiting(
            "stopped waiting; the Forge goes on starting",
            fix="`forge status` shows how far it is, `forge down` stops it",
        ) from None


def check_door(here: Installation, state: StackState) -> None:
    """Raises DoorClosed when others were to be let in, and a stack that ran already lets nobody in."""
    if here.is_tls and "door" not in state.expected:
        raise DoorClosed(
            "the Forge runs already, and listens to this machine alone",
            fix="`forge down`, then `forge up --tls`",
        )


def _waiting(state: StackState) -> Text:
    ready = [name for name in state.expected if name in state.processes and state.processes[name].ready]
    missing = [name for name in state.expected if name not in ready]
    return Text(
        f"starting {len(ready)}/{len(state.expected)}: waiting for {', '.join(missing[:4])}", style="dim"
    )


def _overview(here: Installation) -> dict[str, Any]:
    state = read_state(here)
    parts = {
        name: {
            "running": running(process) is not None,
            "ready": process.ready,
            "pid": process.pid,
            "restarts": process.restarts,
            "address": process.address,
            "log": process.log,
            "error": process.error,
        }
        for name in state.expected
        if (process := state.processes.get(name))
    }
    return {
        "home": str(here.home),
        "supervised": supervisor_is_alive(here),
        "parts": parts,
        "external": state.external,
    }


def _screen(here: Installation) -> None:
    overview = _overview(here)
    rows = []
    for name, part in overview["parts"].items():
        state = "[green]up[/]" if part["running"] and part["ready"] else "[red]down[/]"
        restarts = f" [yellow]↻{part['restarts']}[/]" if part["restarts"] else ""
        rows.append(
            [name, state + restarts, part["address"] or f"pid {part['pid']}", FOR_PEOPLE.get(name, "")]
        )
    rows += [[name, "[cyan]external[/]", address, ""] for name, address in overview["external"].items()]
    if not rows:
        note("nothing runs here; `forge up` starts it")
        return
    table("part", "state", "where", "", rows=rows)
    if "door" in overview["parts"]:
        note(f"certificates are signed by {Certificates(here.certificates).fingerprint}")
    note(f"home {here.home} · logs {here.logs} · key in secrets.json")
