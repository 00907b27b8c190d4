"""`forge eval`: a version on its benchmark or on a file, against another version, or answers that were made elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from forge_cli import clients, evaluator, reports
from forge_cli.clients import Document
from forge_cli.commands.runs import Detach, show_run
from forge_cli.commands.versions import number
from forge_cli.console import DomainOption, JsonFlag, command, escape, note, out, print_json, table
from forge_cli.follow import figure, follow
from forge_cli.installation import Installation
from forge_common import domains
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.runs import RunKind, RunRequest, RunView
from forge_common.contracts.scorecard import Scorecard
from forge_common.errors import DependencyDown, Invalid

SHOWN = 5


class OptionsClash(Invalid):
    """Two options ask for different things."""


@command
def evaluate(
    *,
    domain: DomainOption = None,
    version: Annotated[str | None, typer.Option(help="Which version, e.g. 3; default: the live one.")] = None,
    vs: Annotated[
        str | None, typer.Option("--vs", help="Compare with this version instead of the live one.")
    ] = None,
    benchmark: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="These tasks instead of the domain's benchmark."),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Score these answers, {task_id, completion} a line, on this machine. No model is called.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="With --answers: a folder for JSON, HTML and JUnit.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the HTML report to this file.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the HTML report in the browser.")] = False,
    detach: Detach = False,
    json_: JsonFlag = False,
) -> None:
    """Judge a version on its domain's benchmark, beside the live one or --vs another. Promotes nothing."""
    here = Installation.find()
    if answers is not None:
        _refuse("--answers", {"--version": version, "--vs": vs, "--detach": detach, "--report": report})
        score_answers(here, answers, benchmark, domain, to, opened=open_, as_json=json_)
        return
    _refuse("a run; it is for --answers", {"--out": to})
    if detach:
        _refuse("--detach: the report is made at the end", {"--report": report, "--open": open_})
    registry = clients.registry(here)
    view = registry.start_run(_request(here, domain, version, vs, benchmark))
    if not detach:
        view = follow(registry, view.id, quiet=json_)
    _finish(here, view, report, opened=open_, as_json=json_, detached=detach)


def _request(
    here: Installation, domain: str | None, version: str | None, vs: str | None, benchmark: Path | None
) -> RunRequest:
    tasks = None
    if benchmark is not None:
        if not benchmark.read_bytes().strip():
            raise Invalid(f"{benchmark} has no tasks", fix="one task a line, as JSON; see docs/domains.md")
        evaluator.run("bench", "list", benchmark, here=here, quiet=True)
        tasks = clients.artifacts(here).push(benchmark, "benchmark").sha256
    return RunRequest(
        domain=clients.domain(domain),
        kind=RunKind.EVAL,
        version=None if version is None else number(version),
        opponent=None if vs is None else number(vs),
        benchmark=tasks,
    )


def _finish(
    here: Installation, view: RunView, report: Path | None, *, opened: bool, as_json: bool, detached: bool
) -> None:
    is_wanted = opened or report is not None or reports.has_page(view)
    saved = reports.save(view, report, opened=opened, here=here) if is_wanted and not detached else None
    if as_json:
        print_json(view.model_dump(mode="json") | {"report": None if saved is None else str(saved)})
        return
    show_run(view)
    if detached:
        note(f"`forge runs attach {view.id}` watches it, `forge runs report {view.id}` brings its report")
    elif saved is not None:
        note(f"report, flipped tasks first: {escape(str(saved))}")


def score_answers(
    here: Installation,
    answers: Path,
    benchmark: Path | None,
    domain: str | None,
    to: Path | None,
    *,
    opened: bool,
    as_json: bool,
) -> None:
    """Without services: the domain's benchmark is the registry's where it answers, else the shipped one."""
    if benchmark is None and domain is None:
        raise Invalid(
            "which tasks do these answers answer?", fix="name them: --benchmark FILE, or --domain ID"
        )
    if opened and to is None:
        to = here.home / "reports" / answers.stem
    with _inputs(here, benchmark, domain) as options:
        asked = ["answers", answers, *options, *evaluator.arguments(out=to)]
        found: Document = evaluator.run(*asked, here=here, quiet=as_json)
    if as_json:
        print_json(found)
    else:
        _show_answers(found)
    if opened and to is not None:
        typer.launch(str(to / "report.html"))


@contextmanager
def _inputs(here: Installation, benchmark: Path | None, domain: str | None) -> Iterator[list[str | Path]]:
    if domain is None:
        yield ["--benchmark", str(benchmark)]
        return
    document = _document(here, domain)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "domain.json")
        place.write_text(document.model_dump_json())
        tasks: list[str | Path] = ["--shipped", domain]
        if benchmark is not None:
            tasks = ["--benchmark", benchmark]
        elif document.benchmark is not None:
            tasks = ["--benchmark", clients.artifacts(here).fetch(document.benchmark)]
        yield [*tasks, "--document", place]


def _document(here: Installation, domain: str) -> DomainDocument:
    try:
        return clients.registry(here).domain(domain)
    except DependencyDown:
        return domains.load(domain)


def _show_answers(found: Document) -> None:
    card = Scorecard.model_validate(found["scorecard"])
    out.print(
        f"{found['answers']:,} answers to {found['answered']:,} of {card.tasks:,} tasks · benchmark {card.benchmark[:16]}…"
    )
    rows = [["all", figure(card.overall.candidate), str(card.overall.candidate.n)]]
    rows += [[escape(c.group), figure(c.candidate), str(c.candidate.n)] for c in card.categories]
    table("category", "points >", "tasks >", rows=rows)
    if card.pass_rates:
        rows = [[f"pass@{p.k}", figure(p.candidate), str(p.candidate.n)] for p in card.pass_rates]
        table("", "% >", "tasks >", rows=rows)
    note(" · ".join(f"{name} {count}" for name, count in sorted(card.outcomes.items(), key=lambda o: -o[1])))
    if found["benchmark_flaws"]:
        out.print(f"[yellow]![/] {escape(found['benchmark_flaws'])}")
    for line in _left_out(found):
        note(line)
    note(f"sandbox {escape(card.sandbox)} · judge: {escape(card.judge)}")
    for file in found["files"]:
        note(f"written: {escape(file)}")


def _left_out(found: Document) -> Iterator[str]:
    missing, unknown, refused = found["missing"], found["unknown"], found["refused"]
    if missing["tasks"]:
        yield f"{missing['tasks']:,} tasks have no answer and are not in these figures: {_few(missing['ids'])}"
    if unknown["answers"]:
        yield f"{unknown['answers']:,} answers are to no task of the benchmark: {_few(unknown['ids'])}"
    if refused:
        lines = "; ".join(f"line {r['line']}: {r['reason']}" for r in refused[:SHOWN])
        yield f"{len(refused):,} lines could not be read: {escape(lines)}"


def _few(names: list[str]) -> str:
    return escape(", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else ""))


def _refuse(what: str, options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise OptionsClash(f"{', '.join(given)} does not go with {what}", fix="leave one of them out")
