"""Watching a run: a line per stage, a bar with loss and ETA while it works, the verdict in a table at the end."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from forge_cli.console import err, escape, note, out, table
from forge_common.contracts.base import RunId
from forge_common.contracts.runs import RunEvent, RunState, RunView
from forge_common.contracts.scorecard import Figure, Scorecard
from forge_common.errors import Cancelled, DependencyDown, ForgeError
from forge_common.http.registry import RegistryClient

PATIENCE_S = 120.0
# Metrics that are for machines.
UNSEEN = frozenset({"memory_bytes"})


class RunFailed(ForgeError):
    """The run ended as failed."""


class RunCancelled(Cancelled):
    """The run was called off."""


class StoppedWatching(Cancelled):
    """Ctrl-C while a run was shown; it goes on."""


def follow(registry: RegistryClient, run: RunId, *, quiet: bool = False) -> RunView:
    """Show a run until it ends; reconnects while the registry restarts.

    Raises RunFailed, RunCancelled, and StoppedWatching at Ctrl-C.
    """
    try:
        view = _watch(registry, run, quiet=quiet)
    except KeyboardInterrupt:
        raise StoppedWatching(
            f"stopped watching; run {run} goes on",
            fix=f"`forge runs attach {run}` watches it, `forge runs cancel {run}` ends it",
        ) from None
    if view.state is RunState.CANCELLED:
        raise RunCancelled(
            f"run {run} was cancelled",
            fix=view.fix or f"`forge runs retry {run}` goes on past what it had finished",
        )
    if view.state is RunState.FAILED:
        raise RunFailed(f"run {run} failed: {view.error or 'no reason given'}", fix=view.fix)
    return view


def _watch(registry: RegistryClient, run: RunId, *, quiet: bool) -> RunView:
    seen, away_since = 0, None
    with Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(
            "[dim]{task.fields[what]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
        console=err,
        expand=True,
        disable=quiet,
        transient=False,
    ) as bars:
        screen = _Screen(bars)
        while True:
            try:
                for event in registry.events(run, after=seen):
                    seen, away_since = event.seq, None
                    screen.show(event)
                view = registry.run(run)
                if view.state.is_final:
                    screen.end(view.state)
                    return view
            except DependencyDown:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_S:
                    raise
                time.sleep(0.5)


class _Screen:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[RunState, TaskID] = {}
        self._state: RunState | None = None

    def show(self, event: RunEvent) -> None:
        if event.state.is_final:
            return
        if event.state not in (self._state, RunState.QUEUED):
            self._finish()
            self._state = event.state
            if event.state not in self._tasks:
                self._tasks[event.state] = self._bars.add_task(str(event.state), total=None, what="")
        task = self._tasks.get(event.state)
        # What an attempt says is worth the line only when it went wrong: the loss should stay in sight.
        if task is not None and (event.event == "stage.progress" or _is_trouble(event)):
            total = {} if event.of is None else {"total": event.of, "completed": event.step or 0}
            self._bars.update(task, what=_what(event), **total)  # type: ignore[arg-type]

    def end(self, _state: RunState) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._state in self._tasks:
            task = self._tasks[self._state]
            total = next((t.total for t in self._bars.tasks if t.id == task), None) or 1
            self._bars.update(task, total=total, completed=total)
            self._bars.stop_task(task)


def _is_trouble(event: RunEvent) -> bool:
    return event.event == "stage.attempt" and event.message.startswith(("lost", "failed"))


def _what(event: RunEvent) -> str:
    shown = [
        f"{name.replace('_', ' ')} {value:.4g}" for name, value in event.metrics.items() if name not in UNSEEN
    ]
    eta = [f"{span(event.eta_s)} left"] if event.eta_s else []
    said = [event.message] if event.message and event.message != event.state else []
    # The time left first: a narrow terminal cuts the end.
    return escape(" · ".join([*said, *eta, *shown[:3]]))


def span(seconds: float) -> str:
    """`85 s`, `12 min`, `2 h 5 min`: a training of a 7B takes hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def show_scorecard(card: Scorecard) -> None:
    """Before and after, with interval and n, and the verdict in words."""
    shown = [
        *card.groups,
        *([card.overall] if card.overall.group not in {g.group for g in card.groups} else []),
    ]
    if card.incumbent is None:
        rows = [[g.group, figure(g.candidate), str(g.candidate.n)] for g in shown]
        table("group", f"{card.candidate} >", "tasks >", rows=rows)
    else:
        rows = [
            [
                g.group,
                figure(g.incumbent),
                figure(g.candidate),
                figure(g.difference, sign=True),
                str(g.candidate.n),
            ]
            for g in shown
        ]
        table("group", f"{card.incumbent} >", f"{card.candidate} >", "difference >", "tasks >", rows=rows)
    out.print(f"\nverdict: [bold]{card.verdict}[/]")
    for reason in card.reasons:
        note(escape(reason))
    note(f"sandbox {escape(card.sandbox)} · judge: {escape(card.judge)}")


def figure(value: Figure | None, *, sign: bool = False) -> str:
    """`83.3 [74.9, 89.4]`; `–` where nothing was scored."""
    if value is None or value.mean is None:
        return "–"
    shown = f"{value.mean:+.1f}" if sign else f"{value.mean:.1f}"
    if value.low is None or value.high is None:
        return shown
    return f"{shown} \\[{value.low:.1f}, {value.high:.1f}]"
