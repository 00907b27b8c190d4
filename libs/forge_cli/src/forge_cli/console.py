"""What the user sees: tables and sentences on a terminal, one JSON document with `--json`; errors with what to do."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.padding import Padding
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from forge_common.errors import CallerError, Cancelled, DependencyDown, ForgeError, Invalid, RemoteProblem

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

DomainOption = Annotated[str | None, typer.Option("--domain", help="Default: the active domain.")]

# What goes into a pipe or a file is cut or wrapped at no width: a program, or `grep`, reads it.
UNBOUNDED = 4000


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else UNBOUNDED


out = Console(highlight=False, width=_width())
err = Console(stderr=True, highlight=False)

# Exit codes: 0 done, 1 a bug, 2 the caller's mistake, 3 something needed is down, 4 called off, 5 the work failed.
USAGE, DOWN, CALLED_OFF, FAILED = 2, 3, 4, 5

# What the person's disk or folders say, and no bug of ours, with what to do.
OF_THE_MACHINE = {
    errno.ENOSPC: "make room on that disk, then try again",
    errno.EDQUOT: "make room on that disk, then try again",
    errno.EACCES: "give yourself the right to it, or name another place",
    errno.EPERM: "give yourself the right to it, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOENT: "name a folder that is there",
    errno.ENOTDIR: "name a folder that is there",
    errno.EISDIR: "name a file instead of a folder",
    errno.EEXIST: "name another place, or move what is there away",
}


class MachineRefused(ForgeError):
    """A file or folder could not be read or written."""


P = ParamSpec("P")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that a ForgeError ends as two readable lines (or JSON) and a meaningful exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except ForgeError as error:
            fail(error, as_json=bool(kwargs.get("json_")))
        except ValidationError as error:
            fail(Invalid(in_words(error), fix="see --help"), as_json=bool(kwargs.get("json_")))
        except KeyboardInterrupt:
            err.print("\nstopped")
            raise typer.Exit(CALLED_OFF) from None
        except BrokenPipeError:
            # `forge … | head`: the reader has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            if error.errno not in OF_THE_MACHINE:
                raise
            fail(_of_the_machine(error), as_json=bool(kwargs.get("json_")))

    return run


def _of_the_machine(error: OSError) -> MachineRefused:
    where = f"{error.filename}: " if error.filename else ""
    return MachineRefused(f"{where}{error.strerror}", fix=OF_THE_MACHINE[error.errno or 0])


def fail(error: ForgeError, *, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, "fix": error.fix}})
    else:
        _say(f"[bold red]✗[/] {escape(error.message)}")
        if error.fix:
            _say(f"[dim]→[/] {escape(error.fix)}", indent=2)
    raise typer.Exit(exit_code(error))


def _say(text: str, indent: int = 0) -> None:
    """On a terminal it wraps under its own beginning; elsewhere a line is a line."""
    if err.is_terminal:
        err.print(Padding(text, (0, 0, 0, indent), expand=False))
    else:
        err.print(" " * indent + text, soft_wrap=True)


def exit_code(error: ForgeError) -> int:
    if isinstance(error, DependencyDown):
        return DOWN
    if isinstance(error, Cancelled):
        return CALLED_OFF
    if isinstance(error, CallerError) or (isinstance(error, RemoteProblem) and error.status < 500):
        return USAGE
    return FAILED


def in_words(error: ValidationError, most: int = 3) -> str:
    """Which fields are wrong and why, without what pydantic adds for programmers."""
    wrong = [
        ": ".join(filter(None, (".".join(str(part) for part in each["loc"]), each["msg"])))
        for each in error.errors(include_url=False, include_input=False)
    ]
    more = f" (and {len(wrong) - most} more)" if len(wrong) > most else ""
    return "; ".join(wrong[:most]) + more


def escape(text: str) -> str:
    """Text that rich shows as it is."""
    return text.replace("[", "\\[")


def print_json(value: Any) -> None:
    """Print JSON on stdout; contracts are dumped as their wire form."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)


# Headings of what a person copies into the next command.
NAMES = frozenset(
    {
        "run",
        "key",
        "pair",
        "model",
        "version",
        "domain",
        "state",
        "live",
        "machine",
        "left",
        "right",
        "against",
    }
)


def table(*columns: str, rows: Sequence[Sequence[str]], title: str | None = None, last_from: int = 0) -> None:
    """A plain table. A column whose heading ends with `>` is right-aligned; one of `NAMES` is never cut nor wrapped.

    `last_from`: a terminal of fewer columns goes without the last one, which would wrap into many lines.
    """
    if out.width < last_from:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
    )
    for column in columns:
        heading = column.removesuffix(">").rstrip()
        made.add_column(
            heading,
            justify="right" if column.endswith(">") else "left",
            no_wrap=heading in NAMES,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*row)
    out.print(made)


@contextlib.contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Says on a terminal what takes so long, and for how long it has, where nobody counts the steps."""
    columns = (SpinnerColumn(), TextColumn("[dim]{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bars:
        bars.add_task(what, total=None)
        yield


def done(text: str) -> None:
    out.print(f"[green]✓[/] {text}")


def note(text: str) -> None:
    """A sentence aside, indented as a whole however often it wraps."""
    out.print(Padding(f"[dim]{text}[/]", (0, 0, 0, 2), expand=False))


def when(moment: datetime, form: str = "%d %b %H:%M") -> str:
    """A time as the clock on the person's wall says it."""
    return f"{moment.astimezone():{form}}"
