"""The original Forge's database: comparisons, which hold text, and what it knows of pairs whose text lies in files.

It is only read; no file is made beside it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from forge_cli.imports.text import FileUnreadable
from forge_common.contracts.imports import Record

MAGIC = b"SQLite format 3\0"
# What a pair's row may add to its record in a file.
_FACTS = (
    "timestamp",
    "routed_to",
    "local_model",
    "claude_duration_ms",
    "local_duration_ms",
    "task_type",
)


class ForgeDatabase:
    """Raises FileUnreadable when the file is no database of the Forge."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.joined = 0
        self._closing = contextlib.ExitStack()
        try:
            self._open()
        except sqlite3.Error as error:
            self._closing.close()
            raise FileUnreadable(f"{path} cannot be read as a database: {error}") from error
        if not self._tables & {"comparisons", "training_pairs"}:
            self._closing.close()
            raise FileUnreadable(
                f"{path} is a SQLite database, but not the Forge's",
                fix="of other systems, export their data as JSON and import that",
            )

    def close(self) -> None:
        self._closing.close()

    def comparisons(self) -> Iterator[Record]:
        """By their number, in the order in which they were stored."""
        if "comparisons" not in self._tables:
            return
        at = 0
        try:
            for at, row in enumerate(self._database.execute("select * from comparisons order by rowid"), 1):
                yield Record(at=at, text=_json(dict(row)))
        except sqlite3.Error as error:
            yield Record(at=at + 1, refused=f"the database is damaged: {error}")

    def pairs(self) -> int:
        """How many pairs it knows of, without their text."""
        if "training_pairs" not in self._tables:
            return 0
        return int(self._database.execute("select count(*) from training_pairs").fetchone()[0])

    def join(self, records: Iterator[Record]) -> Iterator[Record]:
        """The records of raw pairs with what only their rows say of them."""
        for record in records:
            facts = self._facts(record.text) if record.text and '"prompt_hash"' in record.text else None
            yield Record(at=record.at, text=facts) if facts else record

    def _facts(self, text: str) -> str | None:
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            return None
        row = self._row(record["id"])
        if row is None:
            return None
        self.joined += 1
        known = {key: value for key, value in record.items() if value is not None}
        return _json({**record, **{name: row[name] for name in _FACTS if row.get(name)}, **known})

    def _row(self, pair: str) -> dict[str, Any] | None:
        if "training_pairs" not in self._tables:
            return None
        try:
            found = self._database.execute("select * from training_pairs where id = ?", (pair,)).fetchone()
        except sqlite3.Error:
            return None
        return dict(found) if found else None

    def _open(self) -> None:
        uri = self._address()
        self._database = self._closing.enter_context(
            contextlib.closing(sqlite3.connect(uri, uri=True, check_same_thread=False))
        )
        self._database.row_factory = sqlite3.Row
        self._database.text_factory = lambda raw: raw.decode("utf-8", "replace")
        names = self._database.execute("select name from sqlite_master where type = 'table'")
        self._tables = {row["name"] for row in names}

    def _address(self) -> str:
        """As it lies there when nobody has it open; as readers do while somebody writes; else as a copy.

        Opening a database whose write-ahead log was left by a crash would write an index beside it.
        """
        log, index = (self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))
        if not log.exists() or log.stat().st_size == 0:
            return f"{self.path.resolve().as_uri()}?mode=ro&immutable=1"
        if index.exists():
            return f"{self.path.resolve().as_uri()}?mode=ro"
        folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="forge-import-")))
        for file in (self.path, log):
            shutil.copy2(file, folder / file.name)
        return f"{(folder / self.path.name).as_uri()}?mode=ro"


def _json(row: dict[str, Any]) -> str:
    return orjson.dumps(row, default=lambda value: value.decode("utf-8", "replace")).decode()
