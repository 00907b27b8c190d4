"""`forge data`: what was captured, and the dataset that training would get."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from forge_cli import clients
from forge_cli.console import JsonFlag, command, done, note, out, print_json, table
from forge_common.contracts.base import Sha256
from forge_common.contracts.dataset import DatasetManifest

app = typer.Typer(help="Captured exchanges and the datasets made of them.", invoke_without_command=True)
DomainOption = Annotated[str | None, typer.Option("--domain", help="Default: the active domain.")]


@app.callback()
@command
def stats(context: typer.Context, *, json_: JsonFlag = False) -> None:
    """Without a subcommand: what has been captured."""
    if context.invoked_subcommand is not None:
        return
    found = clients.CollectorClient().stats()
    if json_:
        print_json(found)
        return
    _show(found)


@app.command()
@command
def build(*, domain: DomainOption = None, json_: JsonFlag = False) -> None:
    """Filter, deduplicate and split now; the dataset is immutable and named by its hash."""
    built = clients.CollectorClient().build(_domain(domain))
    if json_:
        print_json(built)
        return
    done(f"dataset {built.get('sha256', built.get('dataset', ''))}")
    _show(built)


@app.command()
@command
def show(
    dataset: Annotated[str, typer.Argument(help="The dataset's hash.")], *, json_: JsonFlag = False
) -> None:
    """What a dataset holds, and what was left out and why."""
    manifest = clients.artifacts().read_json(dataset, DatasetManifest)
    if json_:
        print_json(manifest)
        return
    out.print(
        f"domain {manifest.domain} · {manifest.train_rows} train · {manifest.valid_rows} valid · {manifest.seen} seen"
    )
    table("left out because", "rows >", rows=[[d.reason, str(d.rows)] for d in manifest.dropped])


@app.command("import")
@command
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines.")],
    *,
    domain: DomainOption = None,
    json_: JsonFlag = False,
) -> None:
    """Read conversations from a JSONL file: OpenAI fine-tuning form, or Engie's raw pairs."""
    found = clients.CollectorClient().import_file(file, _domain(domain))
    if json_:
        print_json(found)
        return
    done(f"imported {file.name}")
    _show(found)


def rows_of(dataset: Sha256) -> Path:
    """The training rows of a dataset, as a local JSONL file."""
    artifacts = clients.artifacts()
    return artifacts.fetch(artifacts.read_json(dataset, DatasetManifest).train.sha256)


def _domain(given: str | None) -> str:
    return given or clients.registry().active_domain()


def _show(found: dict[str, Any]) -> None:
    for name, value in found.items():
        if isinstance(value, dict):
            out.print(f"[bold]{name}[/]")
            for key, figure in value.items():
                note(f"{key}: {figure}")
        elif not isinstance(value, list):
            note(f"{name.replace('_', ' ')}: {value}")
