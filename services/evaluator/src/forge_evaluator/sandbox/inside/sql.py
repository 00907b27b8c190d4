"""SQL in a task: a fresh SQLite database in memory for every case. No file is opened, whatever the script says.

Sent as a candidate's code is and behind the same walls; it too never sees an expected row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

_MAX_ROWS = 50_000
# By number, as sqlite3.h has them, for Python names only some: create and drop (1-8, 10-17), delete, insert, read, select,
# transaction, update, alter, reindex, analyze, function, savepoint, recursive. Attaching and virtual tables are not among them.
_ALLOWED = frozenset([*range(1, 9), *range(10, 19), 9, 20, 21, 22, 23, 26, 27, 28, 31, 32, 33])
_PRAGMA, _FUNCTION = 19, 31
_PRAGMAS = frozenset(
    (
        "foreign_keys",
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "table_info",
        "table_list",
        "table_xinfo",
    )
)
_FUNCTIONS_REFUSED = frozenset(["load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"])


class BenchmarkBroken(Exception):
    """The benchmark's own tables could not be made."""


class TooManyRows(Exception):
    """More than anybody compares."""


def run(setup: str, data: str, script: str, probe: str | None) -> list[list[Any]]:
    """The rows of `probe`, else of the script's last statement that yields any; none: no rows."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("PRAGMA temp_store = MEMORY")
    try:
        database.executescript(setup)
        database.executescript(data)
    except sqlite3.Error as error:
        raise BenchmarkBroken(str(error)) from error
    database.set_authorizer(_authorize)
    rows: list[list[Any]] = []
    for statement in [*_statements(script), *([] if probe is None else [probe])]:
        cursor = database.execute(statement)
        if cursor.description is not None:
            rows = _rows(cursor)
    return rows


def _rows(cursor: sqlite3.Cursor) -> list[list[Any]]:
    rows = [list(row) for row in cursor.fetchmany(_MAX_ROWS + 1)]
    if len(rows) > _MAX_ROWS:
        raise TooManyRows(f"more than {_MAX_ROWS}")
    return rows


def _statements(script: str) -> Iterator[str]:
    """Cut where SQLite itself sees a statement end: not inside texts, comments and triggers."""
    begin = 0
    for at, character in enumerate(script):
        if character == ";" and sqlite3.complete_statement(script[begin : at + 1]):
            yield script[begin : at + 1]
            begin = at + 1
    if script[begin:].strip():
        yield script[begin:]


def _authorize(action: int, first: object, second: object, _database: object, _trigger: object) -> int:
    if action == _PRAGMA:
        return sqlite3.SQLITE_OK if str(first).lower() in _PRAGMAS else sqlite3.SQLITE_DENY
    if action == _FUNCTION and str(second).lower() in _FUNCTIONS_REFUSED:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
