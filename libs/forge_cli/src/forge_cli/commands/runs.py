"""`forge train`, `forge runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge_cli import clients, reports
from forge_cli.console import (
    DomainOption,
    JsonFlag,
    command,
    done,
    escape,
    note,
    out,
    print_json,
    table,
    when,
)
from forge_cli.follow import RunFailed, follow, show_scorecard
from forge_cli.installation import Installation
from forge_common.contracts.base import RunId
from forge_common.contracts.runs import Hardware, RunKind, RunRequest, RunState, RunView, StageView
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import ExportResult, StageKind

Detach = Annotated[
    bool, typer.Option("--detach", help="Start it and return; `forge runs attach` watches it.")
]

app = typer.Typer(help="Runs: list, show, watch, cancel, retry.", invoke_without_command=True)


@command
def train(
    *,
    domain: DomainOption = None,
    hardware: Annotated[
        Hardware, typer.Option(help="Whose queue; auto takes what has a live worker.")
    ] = Hardware.AUTO,
    dataset: Annotated[
        str | None, typer.Option(help="Train on this dataset instead of building one.")
    ] = None,
    detach: Detach = False,
    json_: JsonFlag = False,
) -> None:
    """The full pipeline: prepare, train, export, deploy, evaluate, promote if better."""
    request = RunRequest(domain=clients.domain(domain), hardware=hardware, dataset=dataset)
    start_and_follow(request, detach=detach, as_json=json_)


@app.callback()
@command
def list_runs(context: typer.Context, *, json_: JsonFlag = False) -> None:
    """Without a subcommand: all runs, newest first."""
    if context.invoked_subcommand is not None:
        return
    found = clients.registry().runs()
    if json_:
        print_json(found)
        return
    if not found:
        out.print("there was no run yet: `forge train` starts one")
        return
    table("run", "domain", "kind", "state", "", "verdict", "since", rows=[_row(run) for run in found])


@app.command()
@command
def show(run: str, *, json_: JsonFlag = False) -> None:
    """One run: stages, attempts, scorecard."""
    view = clients.registry().run(RunId(run))
    if json_:
        print_json(view)
        return
    show_run(view)


@app.command()
@command
def attach(run: str, *, json_: JsonFlag = False) -> None:
    """Watch a run until it ends."""
    finish(follow(clients.registry(), RunId(run), quiet=json_), as_json=json_)


@app.command()
@command
def report(
    run: str,
    *,
    to: Annotated[Path | None, typer.Option("--out", help="Default: in the Forge's home.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    json_: JsonFlag = False,
) -> None:
    """The HTML report of an evaluation: both versions' answers side by side, flipped tasks first."""
    here = Installation.find()
    saved = reports.save(clients.registry(here).run(RunId(run)), to, opened=open_, here=here)
    if json_:
        print_json({"run": run, "report": str(saved)})
        return
    done(f"the report of {escape(run)} is in {escape(str(saved))}")


@app.command()
@command
def cancel(run: str, *, json_: JsonFlag = False) -> None:
    """Call a run off; its worker stops within seconds."""
    view = clients.registry().cancel_run(RunId(run))
    if json_:
        print_json(view)
        return
    done(f"run {view.id} is {view.state}")


@app.command()
@command
def retry(run: str, *, detach: Detach = False, json_: JsonFlag = False) -> None:
    """Go on with a failed or cancelled run, past what is prepared, trained or exported."""
    registry = clients.registry()
    view = registry.retry_run(RunId(run))
    finish(view if detach else follow(registry, view.id, quiet=json_), as_json=json_)


def start_and_follow(request: RunRequest, *, detach: bool, as_json: bool) -> None:
    registry = clients.registry()
    view = registry.start_run(request)
    if not detach:
        view = follow(registry, view.id, quiet=as_json)
    finish(view, as_json=as_json)


def finish(view: RunView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    show_run(view)


def show_run(view: RunView) -> None:
    """The run in words, its attempts where there was more than one, and the scorecard."""
    out.print(
        f"\nrun [bold]{view.id}[/] · {view.domain} · [bold]{view.state}[/]"
        + (f" · v{view.version}" if view.version is not None else "")
    )
    for stage in view.stages:
        if len(stage.attempts) > 1:
            tried = ", ".join(f"{a.number} {a.state}" for a in stage.attempts)
            note(f"{stage.kind}: attempts {tried}")
        if exported := _exported(stage):
            note(exported)
    if view.error:
        note(escape(view.error))
    if view.scorecard:
        out.print()
        show_scorecard(view.scorecard)
        if view.kind is RunKind.EVAL and view.scorecard.verdict is Verdict.PROMOTE:
            note(f"an evaluation only judges; what is live is moved by: forge promote {view.version}")
    if view.state is RunState.FAILED:
        raise RunFailed(view.error or "failed", fix=view.fix)


def _exported(stage: StageView) -> str | None:
    """How faithful the exported files are, in words; None for other stages and before the export has ended."""
    if stage.kind is not StageKind.EXPORT or stage.result is None:
        return None
    result = ExportResult.model_validate(stage.result)
    said = (
        f"export: {result.verified} of {result.compared} answers equal the trained weights' token for token"
    )
    as_what = f" ({result.quant})" if result.quant else ""
    return said + as_what + (f"; {result.notice}" if result.notice else "")


def _row(run: RunView) -> list[str]:
    version = "" if run.version is None else f"v{run.version}"
    since = when(run.created_at)
    return [run.id, run.domain, str(run.kind), str(run.state), version, str(run.verdict or ""), since]
