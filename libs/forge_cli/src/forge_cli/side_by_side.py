"""Two answers beside each other while they are written, and whole when they are done. Shows text only, never its control codes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from forge_common.contracts.compare import (
    CompareEvent,
    Contender,
    Side,
    SideAnswer,
    SideError,
    StoredPair,
)

# Narrower terminals show the answers one below the other.
NARROWEST = 80
REFRESHES_A_SECOND = 8
# Lines of a half that are not text: heading, address, figures on up to two, the space around.
FRAME_LINES = 7
# What could move the cursor or change the terminal; a model's answer is a stranger's text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Shorter than this, an answer came in one piece, and its speed is not known.
SHORTEST_S = 0.05


@dataclass
class Half:
    """One side so far."""

    contender: Contender | None = None
    text: str = ""
    thinking: str = ""
    answer: SideAnswer | None = None
    error: SideError | None = None
    started: float = field(default_factory=time.monotonic)

    def take(self, event: CompareEvent) -> None:
        self.contender = event.contender or self.contender
        self.text += event.text or ""
        self.thinking += event.thinking or ""
        self.answer = event.answer or self.answer
        self.error = event.error or self.error

    @property
    def name(self) -> str:
        """The model that answered; until it did, the one that was asked."""
        asked = self.contender.model if self.contender else "…"
        return (self.answer.model if self.answer else None) or asked


@dataclass
class Comparison:
    """Both sides, and what became of them."""

    halves: dict[Side, Half] = field(default_factory=lambda: {side: Half() for side in Side})
    pair: StoredPair | None = None
    unsaved: str | None = None

    def take(self, event: CompareEvent) -> None:
        if event.side is not None:
            self.halves[event.side].take(event)
        self.pair = event.pair or self.pair
        self.unsaved = event.unsaved or self.unsaved

    def take_all(self, events: Iterable[CompareEvent]) -> None:
        for event in events:
            self.take(event)

    def document(self) -> dict[str, object]:
        sides = {side.value: _document(half) for side, half in self.halves.items()}
        return {**sides, "pair": self.pair, "unsaved": self.unsaved}


def watch(comparison: Comparison, events: Iterable[CompareEvent], console: Console) -> None:
    """Show both answers grow where there is a terminal; at the end, or where it is broken off, all that came."""
    # Only the ends that fit: what a terminal scrolled away cannot be redrawn.
    growing = Live(
        get_renderable=lambda: _shown(comparison, console, whole=False),
        console=console,
        refresh_per_second=REFRESHES_A_SECOND,
        transient=True,
    )
    try:
        with growing if console.is_terminal else nullcontext():
            comparison.take_all(events)
    finally:
        if any(half.contender for half in comparison.halves.values()):
            console.print(_shown(comparison, console, whole=True))


def plain(text: str) -> str:
    """Text that only prints."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))


def _shown(comparison: Comparison, console: Console, *, whole: bool) -> RenderableType:
    halves = list(comparison.halves.values())
    is_beside = console.is_terminal and console.width >= NARROWEST
    width = (console.width - 3) // 2 if is_beside else console.width
    lines = None if whole else max(console.height // (1 if is_beside else 2) - FRAME_LINES, 3)
    parts = [_half(half, console, width, lines) for half in halves]
    if not is_beside:
        return Group(*parts)
    grid = Table.grid(padding=(0, 3, 0, 0), pad_edge=False)
    for _ in parts:
        grid.add_column(width=width, overflow="fold")
    grid.add_row(*parts)
    return grid


def _half(half: Half, console: Console, width: int, lines: int | None) -> RenderableType:
    heading = Text(plain(half.name), style="bold", no_wrap=True, overflow="ellipsis")
    where = Text(
        plain(half.contender.upstream) if half.contender else "",
        style="dim",
        no_wrap=True,
        overflow="ellipsis",
    )
    wrapped = _body(half).wrap(console, width)
    body = Text("\n").join(wrapped if lines is None else wrapped[-lines:])
    return Group(heading, where, Text(""), body, Text(""), Text(figures(half), style="dim"), Text(""))


def _body(half: Half) -> Text:
    body = Text(plain(half.text))
    if not half.text and half.thinking and half.answer is None:
        body.append(f"thinking… {len(half.thinking)} characters", style="dim italic")
    for call in (half.answer.message.tool_calls or ()) if half.answer else ():
        body.append(f"\ncalls {plain(str(call.get('function', call)))}", style="cyan")
    if half.error is not None:
        body.append("\n" if half.text else "")
        body.append(f"✗ {plain(half.error.message)}", style="red")
        body.append(f"\n  → {plain(half.error.fix)}" if half.error.fix else "", style="dim")
    return body


def figures(half: Half) -> str:
    """What is known of speed and cost; what nobody reported is left out, never guessed."""
    if half.answer is None:
        return "no answer" if half.error else f"{time.monotonic() - half.started:.0f} s …"
    answer = half.answer
    tokens = answer.usage.completion_tokens
    said = [f"first token {answer.first_token_s:.2f} s"] if answer.first_token_s is not None else []
    if tokens is not None:
        said.append(f"{tokens} tokens")
        spent_s = answer.total_s - (answer.first_token_s or 0.0)
        said += [f"{tokens / spent_s:.0f} tokens/s"] if spent_s > SHORTEST_S and tokens > 1 else []
    said.append(f"{answer.total_s:.2f} s")
    said += [f"${answer.cost_usd:.4f}"] if answer.cost_usd is not None else []
    return " · ".join(
        [*said, *([answer.finish_reason] if answer.finish_reason not in ("stop", None) else [])]
    )


def _document(half: Half) -> dict[str, object]:
    return {"contender": half.contender, "answer": half.answer, "error": half.error}
