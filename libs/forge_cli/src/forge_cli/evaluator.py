"""The evaluator as a child process, for what needs a sandbox or no service at all. Progress as a bar; its errors become ours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from forge_cli.console import err, escape
from forge_cli.installation import Installation
from forge_common.errors import Cancelled, DependencyDown, ForgeError, Invalid, RemoteProblem

MODULE = "forge_evaluator"
_STOP_S = 30.0
_SHOWN_LINES = 12
_DOWN = 503
_BUG = 500


class EvaluatorMissing(Invalid):
    """This command needs the evaluator in the same environment."""


class EvaluatorBroke(ForgeError):
    """The evaluator ended without a result."""


class Stopped(Cancelled):
    """Called off by the person who started it."""


def run(
    *arguments: str | Path,
    here: Installation,
    quiet: bool,
    env: dict[str, str] | None = None,
    notes: bool = False,
) -> Any:
    """What the evaluator's command found; with `notes` what it says on the way is shown.

    Raises the error that it told, or Stopped after ctrl-C.
    """
    if find_spec(MODULE) is None:
        raise EvaluatorMissing(
            "the evaluator is not installed beside this command",
            fix="install it in the same environment: pip install forge-evaluator",
        )
    command = [sys.executable, "-m", MODULE, "--events", *map(str, arguments)]
    given = os.environ | {"FORGE_HOME": str(here.home)} | (env or {})
    with tempfile.TemporaryFile() as noise, _bar(quiet=quiet, notes=notes) as bar:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=noise, env=given, text=True)
        try:
            assert child.stdout is not None
            result = _follow(child.stdout, bar)
            child.wait()
        except KeyboardInterrupt:
            _end(child)
            raise Stopped(
                "stopped; what was done is kept", fix="run the same command again: it goes on from there"
            ) from None
        finally:
            _end(child)
        if result is None:
            raise EvaluatorBroke(f"the evaluator ended with {child.returncode}: {_tail(noise)}")
        return result


class Bar:
    """How far it is, and how long it still takes."""

    def __init__(self, progress: Progress, *, notes: bool) -> None:
        self._progress = progress
        self._notes = notes
        self._task = progress.add_task("starting", total=None, left="")

    def show(self, event: dict[str, Any]) -> None:
        eta_s = event.get("eta_s")
        self._progress.update(
            self._task,
            description=escape(str(event["message"])),
            total=event["of"],
            completed=event["step"],
            left=f"{_time(eta_s)} left" if eta_s else "",
        )

    def note(self, text: str) -> None:
        if self._notes:
            self._progress.console.print(f"[dim]{escape(text)}[/]")


@contextlib.contextmanager
def _bar(*, quiet: bool, notes: bool) -> Iterator[Bar]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TextColumn("[dim]{task.fields[left]}"),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    ) as progress:
        yield Bar(progress, notes=notes)


def _follow(lines: IO[str], bar: Bar) -> Any:
    """The result that was told; None when there was none. Raises the error that was told."""
    result = None
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        match event.get("event"):
            case "progress":
                bar.show(event)
            case "note":
                bar.note(event["text"])
            case "result":
                result = event["value"]
            case "error":
                raise _error(event)
    return result


def _error(told: dict[str, Any]) -> ForgeError:
    """The same kind of error again, so that the exit code says the same."""
    status = told["status"]
    kind: type[ForgeError] = ForgeError
    if status == _DOWN:
        kind = DependencyDown
    elif status < _BUG:
        kind = RemoteProblem
    return kind(told["message"], code=told["code"], status=status, fix=told["fix"])


def _end(child: subprocess.Popen[str]) -> None:
    """It had ctrl-C as well, where it came from a terminal; one that does not heed it is ended."""
    if child.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGINT)
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tail(noise: IO[bytes]) -> str:
    noise.seek(0)
    lines = noise.read().decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-_SHOWN_LINES:]) or "it said nothing"


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def arguments(**options: Path | str | None) -> Sequence[str | Path]:
    """`--name value` of those that are given."""
    return [part for name, value in options.items() if value is not None for part in (f"--{name}", value)]
