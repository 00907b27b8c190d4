"""`forge data import`: files and folders of other systems, with progress; run again, it goes on where it was."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from forge_cli import clients
from forge_cli.bars import counted
from forge_cli.console import DomainOption, JsonFlag, command, done, err, escape, note, print_json, table
from forge_cli.imports.files import Source, found, is_database
from forge_cli.imports.rejected import RejectedFile
from forge_cli.imports.sender import Imported, NothingKnown, Sender
from forge_cli.imports.sqlite_records import ForgeDatabase
from forge_cli.imports.text import FileUnreadable
from forge_common.contracts.imports import ImportFormat, ImportReceipt, ImportStart
from forge_common.errors import Cancelled, Invalid

SHOWN = 20
Outcome = Imported | FileUnreadable | NothingKnown
Outcomes = dict[Path, Outcome]


@command
def import_(
    path: Annotated[Path, typer.Argument(exists=True, help="A file, or a folder with all the files in it.")],
    *,
    domain: DomainOption = None,
    format_: Annotated[
        ImportFormat | None, typer.Option("--format", help="Whose records they are. Default: by content.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Write the records that were left out to this file, as JSON lines.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="From the beginning, also what was imported.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come of it.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Import conversations: the original Forge's data, OpenAI fine-tuning files, ShareGPT, Langfuse, Helicone, Open WebUI."""
    files = found(path)
    if not files:
        raise Invalid(
            f"{path} has no files to import", fix="JSON lines, JSON, CSV (or these with .gz), forge.db"
        )
    start = ImportStart(domain=clients.domain(domain), format=format_, again=again)
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(RejectedFile(rejected, anew=again or dry_run)) if rejected else None
        bars = stack.enter_context(Bars(shown=err.is_terminal and not json_))
        databases = _databases(files, stack)
        sender = Sender(clients.CollectorClient(), start, rejected=kept, watch=bars)
        outcomes = _all(sender, files, databases, dry_run=dry_run)
        bars.close()
        if json_:
            print_json(_document(outcomes, databases))
        else:
            _show(outcomes, databases, dry_run=dry_run)


class Bars:
    """A bar for the file that is read: how far, how fast, how long still."""

    def __init__(self, *, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=not shown,
        )
        self._tasks: dict[Path, tuple[TaskID, int]] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._progress.stop()

    def __call__(self, source: Source, receipt: ImportReceipt, records: int) -> None:
        if source.path not in self._tasks:
            task = self._progress.add_task(escape(source.path.name), total=source.size, said="")
            self._tasks[source.path] = task, records
        task, first = self._tasks[source.path]
        seconds = self._progress.tasks[self._progress.task_ids.index(task)].elapsed or 0
        rate = f"{(records - first) / seconds:,.0f}/s" if seconds else ""
        said = f"{records:,} records {rate} · {receipt.accepted:,} new · {receipt.rejected:,} left out"
        self._progress.update(task, completed=source.position, said=said)


def _all(sender: Sender, files: list[Path], databases: list[ForgeDatabase], *, dry_run: bool) -> Outcomes:
    """Every file's outcome. Among others, a file that is nothing to import is passed over; alone it is an error."""
    outcomes: Outcomes = {}
    for file in files:
        try:
            outcomes[file] = _one(sender, file, databases, dry_run=dry_run)
        except (FileUnreadable, NothingKnown) as error:
            if len(files) == 1:
                raise
            outcomes[file] = error
        except KeyboardInterrupt:
            raise Cancelled(
                f"stopped in {file}; what was sent is stored",
                fix="run the same command again: it goes on from there",
            ) from None
    return outcomes


def _one(sender: Sender, file: Path, databases: list[ForgeDatabase], *, dry_run: bool) -> Imported:
    with contextlib.closing(Source.open(file)) as source:
        records = source.records()
        if source.text is not None:
            for database in databases:
                records = database.join(records)
        return sender.preview(source, records) if dry_run else sender.send(source, records)


def _databases(files: list[Path], stack: contextlib.ExitStack) -> list[ForgeDatabase]:
    """Those among the files that may know more of the records in the others."""
    opened = []
    for file in files:
        with contextlib.suppress(FileUnreadable):
            if is_database(file):
                opened.append(stack.enter_context(contextlib.closing(ForgeDatabase(file))))
    return opened


def _show(outcomes: Outcomes, databases: list[ForgeDatabase], *, dry_run: bool) -> None:
    for file, outcome in outcomes.items():
        if isinstance(outcome, Imported):
            _show_file(file, outcome, dry_run=dry_run)
        else:
            note(f"passed over {escape(file.name)}: {escape(outcome.message)}")
    for database in databases:
        if pairs := database.pairs():
            note(
                f"{escape(database.path.name)} knows of {pairs:,} pairs, but not their text; "
                f"{database.joined:,} of them were found in the other files"
            )


def _show_file(file: Path, outcome: Imported, *, dry_run: bool) -> None:
    receipt, name = outcome.receipt, escape(file.name)
    if outcome.was_finished:
        done(f"{name} was imported before, and has not changed: nothing to do (--again reads it anew)")
        if receipt.rejected:
            note(f"{counted(receipt.rejected, 'record')} left out then")
        return
    formats = ", ".join(f"{name} {n:,}" for name, n in sorted(receipt.formats.items())) or "none known"
    verb = "would be new" if dry_run else "new"
    done(
        f"{name}: {counted(receipt.accepted, 'exchange')} {verb}, {receipt.known:,} known; records: {formats}"
    )
    if outcome.resumed_at:
        note(f"went on at record {outcome.resumed_at:,}, where an earlier run ended")
    if outcome.changed:
        err.print(f"  [yellow]![/] {name} changed while it was read: import it again")
    if receipt.rejected:
        note(f"{counted(receipt.rejected, 'record')} left out, in whole or in part")
        reasons = sorted(receipt.reasons.items(), key=lambda item: -item[1])
        firsts = {example.reason: example.at for example in reversed(receipt.examples)}
        rows = [[f"{n:,}", escape(reason), str(firsts.get(reason, ""))] for reason, n in reasons[:SHOWN]]
        table("records >", "left out because", "first >", rows=rows)


def _document(outcomes: Outcomes, databases: list[ForgeDatabase]) -> dict[str, Any]:
    imported = [outcome for outcome in outcomes.values() if isinstance(outcome, Imported)]
    files = [{"file": str(file)} | _entry(outcome) for file, outcome in outcomes.items()]
    totals = {
        name: sum(file.get(name, 0) for file in map(_entry, imported))
        for name in ("accepted", "known", "rejected")
    }
    text = {
        "pairs_without_text": sum(d.pairs() for d in databases),
        "pairs_joined": sum(d.joined for d in databases),
    }
    return totals | (text if databases else {}) | {"files": files}


def _entry(outcome: Outcome) -> dict[str, Any]:
    if not isinstance(outcome, Imported):
        return {"state": "passed over", "reason": outcome.message}
    receipt = outcome.receipt
    new, known = receipt.accepted, receipt.known
    if outcome.was_finished:
        new, known = 0, new + known
    return {
        "state": outcome.state,
        "records": outcome.records,
        "resumed_at": outcome.resumed_at,
        "accepted": new,
        "known": known,
        "rejected": receipt.rejected,
        "formats": receipt.formats,
        "reasons": receipt.reasons,
        "examples": [example.model_dump() for example in receipt.examples],
    }
