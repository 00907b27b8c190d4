"""CSV rows as JSON objects of their cells, named by the header. Quoted cells may hold line breaks; a broken row is refused alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import orjson

from forge_cli.imports.text import Reader
from forge_common.contracts.imports import MAX_RECORD_BYTES, Record

DELIMITERS = ",;\t"


def header(head: bytes) -> list[str] | None:
    """The names in the first line; None when it does not look like one."""
    line = head.split(b"\n", 1)[0]
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    names = next(csv.reader([text], delimiter=delimiter(text)), [])
    return names if len(names) > 1 and all(name.strip().isprintable() and name for name in names) else None


def delimiter(line: str) -> str:
    return max(DELIMITERS, key=line.count)


def rows(pieces: Iterator[bytes], separator: str) -> Iterator[Record]:
    """Records by their number as a spreadsheet counts: the header is row 1."""
    # A limit of the whole process: the default of 128 KB is shorter than many a prompt.
    csv.field_size_limit(MAX_RECORD_BYTES)
    text = io.TextIOWrapper(
        io.BufferedReader(Reader(pieces)), encoding="utf-8", errors="surrogateescape", newline=""
    )
    reader = csv.reader(text, delimiter=separator)
    names = next(reader)
    at = 1
    while True:
        at += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(at=at, refused=f"not CSV: {error}")
            continue
        if cells:
            yield _record(at, names, cells)


def _record(at: int, names: list[str], cells: list[str]) -> Record:
    if len(cells) != len(names):
        return Record(at=at, refused=f"it has {len(cells)} cells, and the header {len(names)}")
    try:
        text = orjson.dumps(dict(zip(names, cells, strict=True)))
    except orjson.JSONEncodeError:
        return Record(at=at, refused="not UTF-8")
    if len(text) > MAX_RECORD_BYTES:
        return Record(at=at, refused=f"longer than {MAX_RECORD_BYTES // 2**20} MB")
    return Record(at=at, text=text.decode())
