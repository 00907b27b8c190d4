"""What the user sees: tables and sentences on a terminal, one JSON document with `--json`; errors with what to do."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table

from forge_common.errors import CallerError, Cancelled, DependencyDown, ForgeError, Invalid, RemoteProblem

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

DomainOption = Annotated[str | None, typer.Option("--domain", help="Default: the active domain.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

# Exit codes: 0 done, 1 a bug, 2 the caller's mistake, 3 something needed is down, 4 called off, 5 the work failed.
USAGE, DOWN, CALLED_OFF, FAILED = 2, 3, 4, 5

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
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            fail(Invalid(f"{where}: {first['msg']}", fix="see --help"), as_json=bool(kwargs.get("json_")))
        except KeyboardInterrupt:
            err.print(
                "\nstopped watching; the work goes on. `forge runs` shows it, `forge runs cancel` ends it."
            )
            raise typer.Exit(CALLED_OFF) from None
        except BrokenPipeError:
            # `forge … | head`: the reader has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return run


def fail(error: ForgeError, *, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, "fix": error.fix}})
    else:
        err.print(f"[bold red]✗[/] {escape(error.message)}")
        if error.fix:
            err.print(f"  [dim]→[/] {escape(error.fix)}")
    raise typer.Exit(exit_code(error))


def exit_code(error: ForgeError) -> int:
    if isinstance(error, DependencyDown):
        return DOWN
    if isinstance(error, Cancelled):
        return CALLED_OFF
    if isinstance(error, CallerError) or (isinstance(error, RemoteProblem) and error.status < 500):
        return USAGE
    return FAILED


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


def table(*columns: str, rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A plain table. A column whose heading ends with `>` is right-aligned."""
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
    )
    for column in columns:
        made.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left")
    for row in rows:
        made.add_row(*row)
    out.print(made)


def done(text: str) -> None:
    out.print(f"[green]✓[/] {text}")


def note(text: str) -> None:
    out.print(f"[dim]  {text}[/]")
