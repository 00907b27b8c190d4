"""Which files there are to import, what kind each is by its content, and the id that stands for it as it is now."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import orjson

from forge_cli.imports import csv_records
from forge_cli.imports.json_records import Values, lines
from forge_cli.imports.sqlite_records import MAGIC, ForgeDatabase
from forge_cli.imports.text import HEAD, FileUnreadable, TextFile
from forge_common.contracts.imports import ImportStart, Record

_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_DATABASES = (".db", ".sqlite", ".sqlite3")
# Lists of records as APIs wrap them.
_WRAPPED = re.compile(
    rb'\s*\{\s*"(?:data|traces|observations|items|chats|requests|records|rows|results)"\s*:\s*\[\s*[{\]]'
)
_LOOKED_AT = 20


class Kind(StrEnum):
    LINES = "JSON lines"
    ARRAY = "JSON array"
    WRAPPED = "JSON array within an object"
    OBJECTS = "JSON objects"
    CSV = "CSV"
    DATABASE = "database"


@dataclass(slots=True)
class Source:
    """A file that is open. `size` is that of the file, packed or not; `stamp` changes when the file does."""

    path: Path
    kind: Kind
    size: int
    stamp: str
    text: TextFile | None = None
    database: ForgeDatabase | None = None

    @classmethod
    def open(cls, path: Path) -> Source:
        """Raises FileUnreadable."""
        try:
            stamp, size = _stamp(path), path.stat().st_size
            if is_database(path):
                return cls(path, Kind.DATABASE, size, stamp, database=ForgeDatabase(path))
            text = TextFile(path)
        except OSError as error:
            raise FileUnreadable(f"{path} cannot be read: {error.strerror}") from error
        return cls(path, kind(text), size, stamp, text=text)

    def import_id(self, start: ImportStart) -> str:
        what = f"{self.stamp}:{start.domain}:{start.format}"
        return "imp_" + hashlib.sha256(what.encode()).hexdigest()[:32]

    def has_changed(self) -> bool:
        return _stamp(self.path) != self.stamp

    def records(self) -> Iterator[Record]:
        """All of them, in order. A file that breaks off ends with a record that says so."""
        if self.database is not None:
            yield from self.database.comparisons()
            return
        assert self.text is not None
        last = 0
        for record in _cut(self.text, self.kind):
            last = record.at
            yield record
        if self.text.damage:
            yield Record(at=last + 1, refused=self.text.damage)

    @property
    def position(self) -> int:
        return self.text.position if self.text else 0

    def close(self) -> None:
        for part in (self.text, self.database):
            if part is not None:
                part.close()


def found(path: Path) -> list[Path]:
    """The file, or the folder's files that could be imported, by name; databases last. Links are not followed."""
    if not path.is_dir():
        return [path]
    files = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(folder, name) for name in sorted(names) if _is_known(name)]
    files = [file for file in files if file.is_file() and not file.is_symlink()]
    return sorted(files, key=lambda file: file.name.endswith(_DATABASES))


def is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def kind(text: TextFile) -> Kind:
    """Raises FileUnreadable when there is nothing to import."""
    head = text.head()
    start = head.lstrip()[:1]
    if not start:
        raise FileUnreadable(f"{text.path} is empty")
    if start == b"[":
        return Kind.ARRAY
    if _WRAPPED.match(head):
        return Kind.WRAPPED
    if _has_lines(head):
        return Kind.LINES
    if start == b"{":
        return Kind.OBJECTS if _spans_lines(head) else Kind.LINES
    if b"\0" not in head and csv_records.header(head):
        return Kind.CSV
    raise FileUnreadable(
        f"{text.path} is neither JSON, JSON lines, CSV nor a SQLite database",
        fix="import an export in one of those forms",
    )


def _cut(text: TextFile, kind: Kind) -> Iterator[Record]:
    if kind is Kind.LINES:
        return lines(text.pieces())
    if kind is Kind.CSV:
        first = text.head().split(b"\n", 1)[0].decode()
        return csv_records.rows(text.pieces(), csv_records.delimiter(first))
    depth = {Kind.OBJECTS: 0, Kind.ARRAY: 1, Kind.WRAPPED: 2}[kind]
    return Values(depth).cut(text.pieces())


def _has_lines(head: bytes) -> bool:
    """Whether one of the first lines is an object by itself, at its line's beginning."""
    for line in head.split(b"\n")[:_LOOKED_AT]:
        if line.startswith(b"{"):
            try:
                orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            return True
    return False


def _spans_lines(head: bytes) -> bool:
    """Whether an object goes on after its line; one that is longer than what was looked at, or broken, does not."""
    others = [line for line in head.strip().split(b"\n")[1:] if line.strip()]
    return bool(others) and not others[0].startswith(b"{")


def _stamp(path: Path) -> str:
    """Size, time and both ends of the file, and of a database's log."""
    digest = hashlib.sha256()
    for file in (path, path.with_name(path.name + "-wal")):
        if not file.exists():
            continue
        facts = file.stat()
        digest.update(f"{facts.st_size}:{facts.st_mtime_ns};".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(HEAD))
            opened.seek(max(facts.st_size - HEAD, 0))
            digest.update(opened.read(HEAD))
    return digest.hexdigest()


def _is_known(name: str) -> bool:
    plain = name.lower().removesuffix(".gz")
    return not name.startswith(".") and plain.endswith((*_ENDINGS, *_DATABASES))
