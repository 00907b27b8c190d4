"""`forge iterate`: the model practises tasks, sees what failed and tries again; what passes becomes training data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from forge_cli import clients, evaluator
from forge_cli.clients import Document
from forge_cli.console import DomainOption, JsonFlag, command, escape, note, out, print_json, table
from forge_cli.follow import figure
from forge_cli.installation import Installation
from forge_common.contracts.scorecard import Figure
from forge_common.errors import NotFound

SHOWN = 8


@command
def iterate(
    *,
    domain: DomainOption = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="At most so many, drawn anew each round.")] = None,
    attempts: Annotated[int, typer.Option(min=1, max=20, help="How often a task is tried.")] = 3,
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this one; may be repeated.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Practice tasks of your own, in a benchmark's format."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The engine's name of a model, e.g. engie-coder:v3. Default: the live one."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Practise, but store nothing of it as training data.")
    ] = False,
    history: Annotated[bool, typer.Option("--history", help="Only show what past rounds came to.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say how every attempt ended.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Let the model practise. Passing answers become exchanges, a failed and a passing one a preference pair.

    It is shown failing visible tests and errors, never a hidden test. A benchmark's task is never practised.
    """
    here = Installation.find()
    if history:
        _show_history(here, domain, as_json=json_)
        return
    registry = clients.registry(here)
    document = registry.domain(clients.domain(domain))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "domain.json")
        place.write_text(document.model_dump_json())
        asked: list[str | Path] = [
            "practice",
            "--document",
            place,
            "--model",
            model or _live(here, document.id),
        ]
        asked += evaluator.arguments(file=file, tasks=None if tasks is None else str(tasks))
        asked += ["--attempts", str(attempts), *(["--dry-run"] if dry_run else [])]
        asked += [part for name in task or () for part in ("--task", name)]
        asked += [part for path in _benchmarks(here) for part in ("--benchmark", path)]
        found: Document = evaluator.run(
            *asked, here=here, quiet=json_, env=_addresses(here), notes=verbose and not json_
        )
    if json_:
        print_json(found)
        return
    _show(found)


def _live(here: Installation, domain: str) -> str:
    """The engine's name of the live version. Raises NotFound."""
    pointers = clients.registry(here).pointers().pointers
    live = next((pointer.model for pointer in pointers if pointer.domain == domain), None)
    if live is None:
        raise NotFound(
            f"the domain {domain} has no live version to practise with",
            fix="`forge train` makes one; or name a model that the engine has: --model NAME",
        )
    return live


def _benchmarks(here: Installation) -> list[Path]:
    """Every domain's benchmark: none of their tasks may be practised."""
    artifacts = clients.artifacts(here)
    used = {document.benchmark for document in clients.registry(here).domains() if document.benchmark}
    return [artifacts.fetch(sha256) for sha256 in sorted(used)]


def _addresses(here: Installation) -> dict[str, str]:
    return {
        "FORGE_ENGINE_URL": here.engine(),
        "FORGE_COLLECTOR_URL": here.url("collector"),
        "FORGE_KEY": here.key,
    }


def _show(found: Document) -> None:
    out.print(
        f"{found['model']} practised {found['tasks']} tasks of {found['domain']} and solved {found['solved']}"
    )
    rates = [Figure.model_validate(rate) for rate in found["pass_rates"]]
    rows = [[str(number), figure(rate), str(rate.n)] for number, rate in enumerate(rates, 1)]
    table("attempts", "solved, % >", "tasks >", rows=rows)
    if found["repaired"]:
        note(f"put right after seeing what failed: {_few(found['repaired'])}")
    if found["unsolved"]:
        note(f"not solved: {_few(found['unsolved'])}")
    if found["unjudged"]:
        note(f"{found['unjudged']} tasks could not be judged, and are in none of these figures")
    if found["dry_run"]:
        note("a dry run: nothing was stored as training data, and the history is as it was")
    else:
        note(
            f"for training: {found['exchanges']} passing answers and {found['pairs']} pairs, "
            f"{found['new']} exchanges of them new"
        )
    note(f"every answer, and what the model was told: {escape(found['traces'])}")


def _few(names: list[str]) -> str:
    return escape(
        ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    )


def _show_history(here: Installation, domain: str | None, *, as_json: bool) -> None:
    rounds: list[Document] = evaluator.run(
        "history", *evaluator.arguments(domain=domain), here=here, quiet=as_json
    )
    if as_json:
        print_json(rounds)
        return
    if not rounds:
        note("no round of practice yet: `forge iterate` makes one")
        return
    rows = [_round(one) for one in rounds]
    table(
        "when",
        "domain",
        "model",
        "tasks >",
        "at once, % >",
        "in the end, % >",
        "repaired >",
        "pairs >",
        rows=rows,
    )


def _round(one: Document) -> list[str]:
    rates = [Figure.model_validate(rate) for rate in one["pass_rates"]]
    return [
        str(one["at"])[:16].replace("T", " "),
        one["domain"],
        escape(one["model"]),
        str(one["tasks"]),
        figure(rates[0]),
        f"{figure(rates[-1])} in {one['attempts']}",
        str(len(one["repaired"])),
        str(one["pairs"]),
    ]
