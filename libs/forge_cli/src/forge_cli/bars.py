"""Numbers as a person reads them in a terminal: grouped digits, bars, a line of days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def number(value: int) -> str:
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """`1 exchange`, `1,204 exchanges`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def share(part: int, whole: int) -> str:
    """`62 %`; rounding never makes some of it all or nothing."""
    if not whole or part in (0, whole):
        return "100 %" if part and part == whole else "0 %"
    return f"{min(99, max(1, round(100 * part / whole)))} %"


def bar(value: int, largest: int, width: int = 20) -> str:
    """`value` in blocks; whatever is there shows at least a sliver."""
    eighths = max(1, round(value / largest * width * 8)) if value and largest else 0
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def sparkline(values: Sequence[int]) -> str:
    """One character a value; a dot where there is nothing at all."""
    largest = max(values, default=0)
    return "".join(_HEIGHTS[(value * 8 - 1) // largest] if value else "·" for value in values)


def ago(text: str, now: datetime) -> datetime | None:
    """`7d`, `24h`, `2w`, a day or a time in ISO form, the zone being ours where it has none. None when it is none of these."""
    count, unit = text[:-1], text[-1:]
    if count.isdigit() and unit in _UNITS and len(count) < 6:
        return now - int(count) * _UNITS[unit]
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
