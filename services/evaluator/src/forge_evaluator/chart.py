"""Differences with their intervals as one SVG: a row each, zero in the middle of attention. No script, no style of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from forge_common.contracts.scorecard import Figure

_ROW, _LEFT, _WIDTH, _RIGHT = 26, 190, 460, 190
_STEPS, _TICKS = (1, 2, 5, 10, 20, 50, 100), 7


@dataclass(frozen=True, slots=True)
class Row:
    """`bound` marks the one-sided lower bound that the gate looks at."""

    name: str
    difference: Figure
    bound: float | None = None
    is_harmed: bool = False


def draw(rows: Sequence[Row]) -> str:
    """Empty where there is nothing to draw."""
    rows = [row for row in rows if row.difference.mean is not None]
    if not rows:
        return ""
    scale = _Scale(rows)
    height = _ROW * len(rows) + 34
    width = _LEFT + _WIDTH + _RIGHT
    marks = "".join(_row(row, number, scale) for number, row in enumerate(rows))
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="differences with 95 % intervals">'
        f"{_axis(scale, len(rows))}{marks}</svg>"
    )


class _Scale:
    """Points to pixels; zero is always in sight."""

    def __init__(self, rows: Sequence[Row]) -> None:
        ends = [0.0]
        for row in rows:
            figure = row.difference
            ends += [
                value for value in (figure.mean, figure.low, figure.high, row.bound) if value is not None
            ]
        room = max(1.0, (max(ends) - min(ends)) * 0.04)
        self.low, self.high = min(ends) - room, max(ends) + room

    def x(self, points: float) -> str:
        return f"{_LEFT + _WIDTH * (points - self.low) / (self.high - self.low):.1f}"

    def ticks(self) -> list[int]:
        step = next(step for step in _STEPS if (self.high - self.low) / step <= _TICKS)
        first = math.ceil(self.low / step)
        return [step * number for number in range(first, math.floor(self.high / step) + 1)]


def _axis(scale: _Scale, rows: int) -> str:
    bottom = _ROW * rows + 6
    lines = "".join(
        f'<line class="{"zero" if tick == 0 else "grid"}" x1="{scale.x(tick)}" x2="{scale.x(tick)}" y1="0" y2="{bottom}"/>'
        f'<text class="tick" x="{scale.x(tick)}" y="{bottom + 16}" text-anchor="middle">{f"{tick:+d}" if tick else 0}</text>'
        for tick in scale.ticks()
    )
    name = f'<text class="tick" x="{_LEFT + _WIDTH + 12}" y="{bottom + 16}">points, 95 % interval</text>'
    return lines + name


def _row(row: Row, number: int, scale: _Scale) -> str:
    figure = row.difference
    assert figure.mean is not None
    y = _ROW * number + _ROW / 2
    kind = _kind(row)
    name = row.name if len(row.name) <= 26 else row.name[:25] + "…"
    parts = [f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>']
    said = f"{figure.mean:+.1f}"
    if figure.low is not None and figure.high is not None:
        parts.append(
            f'<line class="reach {kind}" x1="{scale.x(figure.low)}" x2="{scale.x(figure.high)}" y1="{y}" y2="{y}"/>'
        )
        said += f" ({figure.low:+.1f} to {figure.high:+.1f})"
    if row.bound is not None:
        x = scale.x(row.bound)
        parts.append(f'<line class="bound" x1="{x}" x2="{x}" y1="{y - 8}" y2="{y + 8}"/>')
    parts.append(f'<circle class="{kind}" cx="{scale.x(figure.mean)}" cy="{y}" r="5"/>')
    parts.append(f'<text class="said" x="{_LEFT + _WIDTH + 12}" y="{y + 4}">{said}</text>')
    return "".join(parts)


def _kind(row: Row) -> str:
    """Coloured only where the interval leaves zero out: anything else may be chance."""
    figure = row.difference
    if row.is_harmed or (figure.high is not None and figure.high < 0):
        return "bad"
    return "good" if figure.low is not None and figure.low > 0 else "unsure"
