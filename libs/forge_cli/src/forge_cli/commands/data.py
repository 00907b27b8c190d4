"""`forge data`: what was captured, and the dataset that training would get."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge_cli import clients
from forge_cli.console import DomainOption, JsonFlag, command, done, escape, note, out, print_json, table
from forge_common.contracts.dataset import DatasetManifest

app = typer.Typer(help="Captured exchanges and the datasets made of them.", invoke_without_command=True)


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
    rows = [[c["domain"], c["origin"], str(c["exchanges"]), str(c["partial"])] for c in found["exchanges"]]
    table("domain", "came by", "exchanges >", "partial >", rows=rows)
    waiting, lost = found["backlog_bytes"], sum(found["capture"].get("lost", {}).values())
    note(f"active domain {found['active_domain']} · {waiting} bytes on their way to Postgres · {lost} lost")


@app.command()
@command
def build(*, domain: DomainOption = None, json_: JsonFlag = False) -> None:
    """Filter, deduplicate and split now; the dataset is immutable and named by its hash."""
    built = clients.CollectorClient().build(clients.domain(domain))
    if json_:
        print_json(built)
        return
    done(f"dataset {built['dataset']['sha256']}")
    show_manifest(DatasetManifest.model_validate(built["manifest"]))


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
    show_manifest(manifest)


@app.command("import")
@command
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines.")],
    *,
    domain: DomainOption = None,
    json_: JsonFlag = False,
) -> None:
    """Read conversations from a JSONL file: OpenAI fine-tuning form, or Engie's raw pairs."""
    found = clients.CollectorClient().import_file(file, clients.domain(domain))
    if json_:
        print_json(found)
        return
    done(f"{found['accepted']} exchanges from {file.name}; {found['known']} were known")
    table(
        "line >", "left out because", rows=[[str(r["line"]), escape(r["reason"])] for r in found["rejected"]]
    )


def show_manifest(manifest: DatasetManifest) -> None:
    counts = (
        f"{manifest.train_rows} train · {manifest.valid_rows} valid · {manifest.conversations} conversations"
    )
    out.print(f"{manifest.domain}: {counts}, of {manifest.seen} seen")
    table("left out because", "rows >", rows=[[d.reason, str(d.rows)] for d in manifest.dropped])
    if manifest.same_family_allowed:
        note("instances of the benchmark's own task families are allowed in this domain")
