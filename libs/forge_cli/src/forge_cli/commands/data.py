"""`forge data`: what was captured, and the dataset that training would get."""

from __future__ import annotations

from typing import Annotated

import typer

from forge_cli import clients
from forge_cli.commands.erase import erase
from forge_cli.commands.exchanges import exchanges, feedback
from forge_cli.commands.imports import import_
from forge_cli.commands.policy import assign, policy
from forge_cli.commands.stats import stats
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
    working,
)
from forge_common.contracts.dataset import DatasetManifest

app = typer.Typer(help="Captured exchanges and the datasets made of them.", invoke_without_command=True)
app.callback()(stats)
app.command("import")(import_)
app.command()(exchanges)
app.command()(feedback)
app.command()(policy)
app.command()(assign)
app.command()(erase)


@app.command()
@command
def build(*, domain: DomainOption = None, json_: JsonFlag = False) -> None:
    """Filter, deduplicate and split now; the dataset is immutable and named by its hash."""
    chosen = clients.domain(domain)
    with working(f"filtering and splitting what was captured of {chosen}", quiet=json_):
        built = clients.CollectorClient().build(chosen)
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


def show_manifest(manifest: DatasetManifest) -> None:
    counts = (
        f"{manifest.train_rows} train · {manifest.valid_rows} valid · {manifest.conversations} conversations"
    )
    out.print(f"{manifest.domain}: {counts}, of {manifest.seen} seen")
    if manifest.dropped:
        table("left out because", "rows >", rows=[[d.reason, str(d.rows)] for d in manifest.dropped])
    if manifest.preference_rows:
        note(f"{manifest.preference_rows} pairs of a better and a worse answer, for training by preference")
    answers = [f"{escape(rule.rule)} {rule.exchanges}" for rule in manifest.policy if rule.eligible]
    if answers:
        note("whose answers: " + " · ".join(answers))
    for rule in (rule for rule in manifest.policy if not rule.eligible):
        note(
            f"not trained on by {rule.source} rule {escape(rule.rule)}: {rule.exchanges} exchanges, {escape(rule.reason)}"
        )
    if manifest.same_family_allowed:
        note("instances of the benchmark's own task families are allowed in this domain")
