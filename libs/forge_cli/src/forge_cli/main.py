"""The `forge` command: which words it knows, and nothing else."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from forge_cli.commands import (
    bench,
    compare,
    data,
    evaluation,
    iterate,
    keys,
    model,
    processes,
    runs,
    setup,
    stack,
    versions,
)

app = typer.Typer(
    name="forge",
    help="Your own AI traffic becomes a local model that gets measurably better.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"forge {metadata.version('forge-cli')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which Forge this is.")
    ] = False,
) -> None:
    """Your own AI traffic becomes a local model that gets measurably better."""
    del version


app.command()(setup.init)
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(setup.domain)
data.app.command()(compare.pairs)
data.app.command()(compare.shadow)
app.add_typer(data.app, name="data")
app.command()(compare.compare)
app.command()(runs.train)
app.command("eval")(evaluation.evaluate)
app.command()(iterate.iterate)
app.add_typer(runs.app, name="runs")
app.add_typer(bench.app, name="bench")
app.add_typer(model.app, name="model")
app.command()(versions.versions)
app.command()(versions.promote)
app.command()(versions.rollback)
app.command()(processes.serve)
app.command()(processes.worker)
app.add_typer(keys.app, name="keys")
