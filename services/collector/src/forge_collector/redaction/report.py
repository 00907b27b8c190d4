"""Measures redaction on the corpus: what was found of each kind, and what was taken from clean files. Prints no values.

Where code is not the corpus's own, a file of it is clean when nothing but real e-mail addresses is taken from it.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from forge_collector.redact import STRICTEST, Numbering, redacted
from forge_collector.redaction.corpus.documents import Document, Plant, clean, documents, wrapped
from forge_common.contracts.domain import CaptureRules

USUAL = CaptureRules().classes()
# A value counts as found when no piece of this length is left of it.
PIECE = 8
# The checksum library's own files are full of the numbers that it is about.
_NOT_CLEAN = frozenset({"stdnum"})


@dataclass(slots=True)
class Tally:
    planted: int = 0
    found: int = 0

    @property
    def recall(self) -> float:
        return self.found / self.planted if self.planted else 1.0

    def add(self, *, found: bool) -> None:
        self.planted += 1
        self.found += found


@dataclass(slots=True)
class Found:
    """By kind, and where it was missed: (kind, document, wrapping). `damaged` documents lost more than was planted."""

    secrets: dict[str, Tally] = field(default_factory=dict)
    personal: dict[str, Tally] = field(default_factory=dict)
    missed: set[tuple[str, str, str]] = field(default_factory=set)
    documents: int = 0
    damaged: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Touched:
    """`files` names those in which something was replaced, with the kinds of placeholders."""

    looked_at: int = 0
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return len(self.files) / self.looked_at if self.looked_at else 0.0


def total(kinds: dict[str, Tally]) -> Tally:
    return Tally(sum(t.planted for t in kinds.values()), sum(t.found for t in kinds.values()))


def measure(which: str, *, copies: int = 3) -> Found:
    """Every document of a set in every wrapping, each as a conversation of its own."""
    found = Found()
    for document in documents(which, copies=copies):
        found.documents += 1
        for wrapping, text in wrapped(document.text).items():
            _note(found, document, wrapping, _without(text, is_strict=document.is_strict))
    return found


def measure_clean(texts: Iterable[tuple[str, str]], *, is_strict: bool = False) -> Touched:
    touched = Touched()
    for name, text in texts:
        touched.looked_at += 1
        numbering = Numbering()
        redacted(text, STRICTEST if is_strict else USUAL, numbering)
        if kinds := tuple(sorted(set(numbering.kinds) - {"EMAIL"})):
            touched.files[name] = kinds
    return touched


def clean_files() -> Iterator[tuple[str, str]]:
    """The corpus's own: code in many languages, lock files, logs, full of what looks like a find."""
    for folder in ("clean", "clean_third", "clean_fourth", "clean_fifth"):
        yield from clean(folder).items()


def installed_code(limit: int) -> Iterator[tuple[str, str]]:
    """Source files of this Python and of the packages beside us: code that others wrote, and that nobody chose for us."""
    for kind in ("stdlib", "purelib"):
        root = Path(sysconfig.get_path(kind))
        paths = [path for path in sorted(root.rglob("*.py")) if _is_code(path.relative_to(root), kind)]
        for path in paths[:: len(paths) // limit + 1]:
            text = path.read_text(encoding="utf-8", errors="replace")
            if text.strip():
                yield f"{kind}/{path.relative_to(root)}", text


def _is_code(path: Path, kind: str) -> bool:
    return path.parts[0] not in _NOT_CLEAN and (kind == "purelib" or "site-packages" not in path.parts)


def _note(found: Found, document: Document, wrapping: str, text: str) -> None:
    for plant in document.plants:
        is_gone = _is_gone(plant, document.parts, text)
        kinds = found.personal if plant.is_personal else found.secrets
        kinds.setdefault(plant.kind, Tally()).add(found=is_gone)
        if not is_gone:
            found.missed.add((plant.kind, document.name, wrapping))
    if wrapping == "plain" and not _is_otherwise_whole(document, text):
        found.damaged.add(document.name)


def _is_gone(plant: Plant, parts: tuple[str, ...], text: str) -> bool:
    value = plant.value
    pieces = {value[i : i + PIECE] for i in range(max(len(value) - PIECE, 0) + 1)}
    # The frame of a key file is no secret, nor is what the document says besides.
    return not any(
        piece in text
        for piece in pieces
        if "-----" not in piece and "PRIVATE" not in piece and not any(piece in part for part in parts)
    )


def _is_otherwise_whole(document: Document, text: str) -> bool:
    at = 0
    for part in document.parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def _without(text: str, *, is_strict: bool) -> str:
    return str(redacted(text, STRICTEST if is_strict else USUAL, Numbering()))
