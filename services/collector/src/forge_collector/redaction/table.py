"""`python -m forge_collector redaction`: the table of what is found, and what it costs. Names kinds and files, never values."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import cycle

from forge_collector.redact import Numbering, redacted
from forge_collector.redaction.corpus.documents import SETS, STATUS, documents
from forge_collector.redaction.report import (
    USUAL,
    Found,
    Tally,
    Touched,
    clean_files,
    installed_code,
    measure,
    measure_clean,
    total,
)

CEILING_TOUCHED = 0.01
FLOOR_SECRETS, FLOOR_PERSONAL = 0.98, 0.95
# Of Python's own files and of the packages', so many each.
INSTALLED = 1500
_PROSE = (
    "The ledger was opened in the spring, and what nobody had told the auditors was that 3 of its 12 chapters were kept "
    "elsewhere; a key to the cellar hung beside the door, as it had since 1984. "
)


def print_table() -> bool:
    """Print everything; False when a floor is missed."""
    fine = True
    for which in SETS:
        found = measure(which)
        _print(_kinds(which, found))
        fine &= total(found.secrets).recall >= FLOOR_SECRETS
        fine &= total(found.personal).recall >= FLOOR_PERSONAL
    clean = [
        ("clean files of the corpus", measure_clean(clean_files())),
        ("the same, strict domain", measure_clean(clean_files(), is_strict=True)),
        ("installed Python code", measure_clean(installed_code(INSTALLED))),
    ]
    _print(line for name, touched in clean for line in _clean(name, touched))
    _print(_costs())
    return fine and all(touched.rate <= CEILING_TOUCHED for _, touched in clean)


def _kinds(which: str, found: Found) -> Iterator[str]:
    yield f"{which} ({STATUS[which]}): {found.documents} documents, each plain, in tool arguments, in a diff and in a log line"
    for title, kinds in (("secrets", found.secrets), ("personal data", found.personal)):
        yield f"  {title:<34}{'planted':>8}{'found':>8}{'recall':>8}"
        for kind, tally in sorted(kinds.items()):
            yield _row(kind, tally)
        yield _row(f"all {len(kinds)} kinds", total(kinds))
        mean = sum(tally.recall for tally in kinds.values()) / len(kinds)
        yield f"  {'mean of the kinds':<50}{mean:>8.3f}"
    yield from (
        f"  missed: {kind}, in “{document}”, {wrapping}" for kind, document, wrapping in sorted(found.missed)
    )
    if found.damaged:
        yield f"  more than the value was taken in: {', '.join(sorted(found.damaged))}"


def _row(name: str, tally: Tally) -> str:
    return f"  {name:<34}{tally.planted:>8}{tally.found:>8}{tally.recall:>8.3f}"


def _clean(name: str, touched: Touched) -> Iterator[str]:
    yield f"{name}: {touched.looked_at} files, {len(touched.files)} touched ({touched.rate:.2%})"
    yield from (f"  {file}: {', '.join(kinds)}" for file, kinds in sorted(touched.files.items()))


def _costs() -> Iterator[str]:
    yield f"CPU for one text, microseconds{'':<7}{'2 KB':>8}{'100 KB':>8}"
    code = "".join(
        text for name, text in installed_code(40) if name not in measure_clean([(name, text)]).files
    )
    dirty = "\n".join(document.text for document in documents("planted", copies=1))
    sparse = code[:1400] + next(iter(documents("planted", copies=1))).text[:300] + code[1400:]
    for name, text in (
        ("clean code", code),
        ("prose", _PROSE),
        ("code, a few secrets", sparse),
        ("the corpus itself", dirty),
    ):
        yield f"  {name:<34}{_cpu_us(_long(text, 2048)):>8.0f}{_cpu_us(_long(text, 102_400)):>8.0f}"


def _long(text: str, size: int) -> str:
    parts, length = [], 0
    for part in cycle([text]):
        if length >= size:
            break
        parts.append(part)
        length += len(part)
    return "".join(parts)[:size]


def _cpu_us(text: str) -> float:
    rounds = max(400_000 // len(text), 3)
    redacted(text, USUAL, Numbering())
    started = time.process_time()
    for _ in range(rounds):
        redacted(text, USUAL, Numbering())
    return (time.process_time() - started) / rounds * 1e6


def _print(lines: Iterator[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n\n")
