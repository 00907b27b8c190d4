"""`forge bench`: benchmarks listed, imported from public files, and tested before they may be used."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from forge_cli import clients, evaluator
from forge_cli.bars import counted
from forge_cli.clients import Document
from forge_cli.console import FAILED, JsonFlag, command, done, escape, note, out, print_json, table
from forge_cli.installation import Installation
from forge_common.contracts.domain import DomainDocument
from forge_common.errors import ForgeError

SHOWN = 15
# Columns of a terminal that a list of categories fits into.
ROOMY = 120

app = typer.Typer(
    help="Benchmarks: list, import from public files, test.",
    invoke_without_command=True,
    no_args_is_help=False,
)


class Adapter(StrEnum):
    """Which public form a file has."""

    HUMANEVAL = "humaneval"
    MBPP = "mbpp"
    EVALPLUS = "evalplus"
    GSM8K = "gsm8k"
    CHOICE = "choice"
    QA = "qa"


class BenchmarkFlawed(ForgeError):
    """The benchmark does not tell right from wrong."""


@app.callback()
@command
def list_benchmarks(context: typer.Context, *, json_: JsonFlag = False) -> None:
    """Without a subcommand: the shipped benchmarks, and those that the domains use."""
    if context.invoked_subcommand is not None:
        return
    here = Installation.find()
    uploaded, trouble = _uploaded(here)
    found = evaluator.run("bench", "list", *(u["path"] for u in uploaded), here=here, quiet=json_)
    for given, described in zip(uploaded, found.pop("files"), strict=True):
        given.update(described)
    if json_:
        print_json(found | {"uploaded": uploaded, "unreachable": trouble})
        return
    used = {given["sha256"]: given["domain"] for given in uploaded if "sha256" in given}
    rows = [_row(b["name"], "shipped", b, used.get(b.get("sha256", ""), "")) for b in found["shipped"]]
    shipped = {b.get("sha256") for b in found["shipped"]}
    rows += [_row(u["domain"], "yours", u, u["domain"]) for u in uploaded if u.get("sha256") not in shipped]
    # Where there is no room for categories, --json and `bench check` have them.
    columns = ("benchmark", "", "sha256", "tasks >", "difficulty", "judges", "categories")
    table(*columns, rows=rows, last_from=ROOMY)
    if trouble:
        note(escape(trouble))


@app.command("import")
@command
def import_(
    name: Annotated[Adapter, typer.Argument(help="The form of the file.", metavar="NAME")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines, also packed (.gz).")],
    *,
    to: Annotated[Path, typer.Option("--out", help="The benchmark file to write.")],
    domain: Annotated[
        str | None, typer.Option(help="Make the tasks that pass their self-test this domain's benchmark.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="The data set's licence, for the manifest.")] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Write line and reason of every refused record here.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Make a benchmark of a public file: humaneval, mbpp, evalplus, gsm8k, choice (multiple choice), qa."""
    here = Installation.find()
    options = evaluator.arguments(out=to, licence=licence, rejected=rejected)
    found = evaluator.run("bench", "import", name.value, file, *options, here=here, quiet=json_)
    if not json_:
        _show_import(found)
    if domain is not None:
        document = clients.registry(here).domain(domain)
        found["checked"] = tested = _checked(here, to, document, to=to, quiet=json_)
        found["uploaded"] = give(here, domain, to)
    if json_:
        print_json(found)
    elif domain is not None:
        _show_pruned(tested)
        done(f"{escape(to.name)} is the benchmark of {domain} now.")
    else:
        made = escape(str(to))
        note("public files have wrong gold answers, too; leave out what fails its self-test:")
        note(f"forge bench check {made} --out {made}, then forge eval --benchmark {made}")


@app.command()
@command
def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Benchmark tasks, JSON lines.")],
    *,
    to: Annotated[Path | None, typer.Option("--out", help="Write the tasks that pass to this file.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Whether a benchmark tells right from wrong: gold answers pass; stub, empty, refusal and echo do not."""
    found = _checked(Installation.find(), file, to=to, quiet=json_)
    if json_:
        print_json(found)
    else:
        _show_contents(found["contents"])
        note(f"sandbox {escape(found['sandbox'])}")
        _show_flaws(found)
        if found["written"]:
            done(f"{found['written']['tasks']:,} tasks that pass are in {escape(found['written']['file'])}")
    if to is None and (found["flaws"] or found["overlaps"] or found["untested"]):
        raise typer.Exit(FAILED)


def _checked(
    here: Installation,
    file: Path,
    document: DomainDocument | None = None,
    *,
    to: Path | None = None,
    quiet: bool,
) -> Document:
    """By the weights of the document, where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "domain.json")
        if document is not None:
            place.write_text(document.model_dump_json())
        options = evaluator.arguments(document=place if document else None, out=to)
        found: Document = evaluator.run("bench", "check", file, *options, here=here, quiet=quiet)
    return found


def require(here: Installation, file: Path, document: DomainDocument, *, quiet: bool) -> None:
    """Raises BenchmarkFlawed unless the file passes its self-test by this domain's weights."""
    found = _checked(here, file, document, quiet=quiet)
    if found["flaws"] or found["overlaps"]:
        if not quiet:
            _show_flaws(found)
        tasks = sorted({flaw["task"] for flaw in found["flaws"]} | {o["task"] for o in found["overlaps"]})
        raise BenchmarkFlawed(
            f"{len(tasks)} of {found['contents']['tasks']} tasks fail the self-test "
            f"({', '.join(tasks[:5])}{', …' if len(tasks) > 5 else ''}); nothing was changed",
            fix=f"mend them, or leave them out: `forge bench check {file} --out FILE`",
        )


def give(here: Installation, domain: str, file: Path) -> str:
    """Make the file the domain's benchmark. The hash that it is stored under."""
    ref = clients.artifacts(here).push(file, "benchmark")
    clients.registry(here).put_benchmark(domain, ref)
    return ref.sha256


def _uploaded(here: Installation) -> tuple[list[Document], str | None]:
    """Every domain's benchmark as a local file; or why they could not be looked at."""
    try:
        artifacts = clients.artifacts(here)
        return [
            {"domain": document.id, "path": artifacts.fetch(document.benchmark)}
            for document in clients.registry(here).domains()
            if document.benchmark is not None
        ], None
    except ForgeError as error:
        return [], f"the domains' own benchmarks are not shown: {error.message}"


def _row(name: str, origin: str, found: Document, used_by: str) -> list[str]:
    if "error" in found:
        return [name, origin, f"[red]{escape(found['error'])}[/]", "", "", "", ""]
    return [
        name,
        origin,
        found["sha256"][:12],
        str(found["tasks"]),
        _counts(found["difficulty"]),
        used_by,
        _counts(found["categories"]),
    ]


def _counts(counts: dict[str, int], most: int = 6) -> str:
    named = [f"{escape(name)} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1])]
    more = [f"{len(named) - most} more"] if len(named) > most else []
    return ", ".join([*named[:most], *more])


def _show_import(found: Document) -> None:
    refused = sum(reason["records"] for reason in found["refused"])
    done(f"{found['tasks']:,} tasks of {found['records']:,} records in {escape(found['file'])}")
    _show_contents(found["manifest"])
    if found["needs_judge"]:
        note(f"{found['needs_judge']:,} tasks have long answers, which only a judge can score")
    if refused:
        note(f"{refused:,} {'record was' if refused == 1 else 'records were'} refused:")
        rows = [
            [f"{reason['records']:,}", escape(reason["reason"]), str(reason["first_line"])]
            for reason in found["refused"][:SHOWN]
        ]
        table("records >", "reason", "first line >", rows=rows)
        if len(found["refused"]) > SHOWN:
            note(f"and {len(found['refused']) - SHOWN} more reasons; --rejected FILE has them all")


def _show_contents(contents: Document) -> None:
    out.print(
        f"{contents['tasks']:,} tasks, {contents['scored']:,} with a check · sha256 {contents['sha256'][:16]}…"
    )
    for name in ("categories", "difficulty", "languages", "kinds"):
        if contents[name]:
            note(f"{name:<11}{_counts(contents[name])}")
    if "licence" in contents:
        note(f"licence: {escape(contents['licence'])}")


def _show_pruned(found: Document) -> None:
    if found["written"]["left_out"]:
        _show_flaws(found)
        left_out, kept = len(found["written"]["left_out"]), found["written"]["tasks"]
        note(f"left out: {left_out:,} of {left_out + kept:,} tasks")
    else:
        done("It tells right from wrong.")


def _show_flaws(found: Document) -> None:
    flaws, overlaps, untested = found["flaws"], found["overlaps"], found["untested"]
    if untested:
        names = escape(", ".join(untested[:5])) + (", …" if len(untested) > 5 else "")
        note(f"{len(untested)} tasks could not be tested on this machine, nothing is said of them: {names}")
    if not flaws and not overlaps and not untested:
        done("It tells right from wrong: every gold answer passes, and nothing worthless does.")
        return
    rows = [_flaw(flaw) for flaw in flaws[:SHOWN]]
    if rows:
        out.print(f"\n[red]✗[/] {counted(len(flaws), 'answer')} not judged as it should be:")
        table("task", "answer", "points >", "why", rows=rows)
    if len(flaws) > SHOWN:
        note(f"and {len(flaws) - SHOWN} more; --json has them all")
    if overlaps:
        out.print(f"\n[red]✗[/] {len(overlaps)} times a practice task gives a task away")
        rows = [
            [escape(o["task"]), escape(o["practice"]), o["field"], f"{o['likeness']:.0%}"]
            for o in overlaps[:SHOWN]
        ]
        table("task", "practice task", "field", "alike >", rows=rows)


def _flaw(flaw: dict[str, Any]) -> list[str]:
    points = "unscored" if flaw["points"] is None else f"{flaw['points']:.0f}"
    return [escape(flaw["task"]), flaw["answer"], points, escape(flaw["explanation"][:160])]
