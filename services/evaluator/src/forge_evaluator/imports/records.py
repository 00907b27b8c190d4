"""JSON lines, plain or packed with gzip, one object at a time with its line number. Never guesses at what a broken line meant."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from forge_common.errors import Invalid, NotFound

Fields: TypeAlias = dict[str, JsonValue]
_GZIP = b"\x1f\x8b"


class Unreadable(Invalid):
    """This record cannot become a task; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line. `fields` is empty when `refused` says why it could not be read."""

    line: int
    fields: Fields
    refused: str | None = None


class RecordFile:
    """`position` of `size` bytes of the file, as it lies on disk, have been read."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFound(f"there is no file {path}", fix="check the path")
        self._raw = path.open("rb")
        self.size = path.stat().st_size
        self._is_packed = self._raw.read(2) == _GZIP
        self._raw.seek(0)

    @property
    def position(self) -> int:
        return self._raw.tell()

    def records(self) -> Iterator[Record]:
        """Every line that is not empty. A packed file that breaks off ends with a refused record."""
        file: Iterable[bytes] = gzip.GzipFile(fileobj=self._raw) if self._is_packed else self._raw
        number = 0
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _record(number, line)
        except (EOFError, OSError, zlib.error) as error:
            yield Record(number + 1, {}, f"the packed file breaks off here: {error}")

    def close(self) -> None:
        self._raw.close()


def _record(number: int, line: bytes) -> Record:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        return Record(number, {}, f"no JSON: {error}")
    if not isinstance(value, dict):
        return Record(number, {}, f"a {type(value).__name__}, not an object")
    return Record(number, value)


def text(fields: Fields, *names: str) -> str:
    """The first of `names` that is there, a text that says something. Raises Unreadable."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            if not isinstance(value, str) or not value.strip():
                raise Unreadable(f"{name} is {'empty' if isinstance(value, str) else 'not a text'}")
            return value
    raise Unreadable(f"no {' or '.join(names)}")


def texts(fields: Fields, name: str) -> list[str]:
    """A list of texts; empty when it is missing. Raises Unreadable."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Unreadable(f"{name} is not a list of texts")
    return [item for item in value if isinstance(item, str) and item.strip()]


def label(fields: Fields, *names: str) -> str | None:
    """An id or a category: a text or a whole number."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None
