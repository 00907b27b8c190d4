"""A public file in, a benchmark file and its manifest out; what could not be read is kept with its line and reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from forge_common.errors import Invalid
from forge_evaluator.benchmarks import DocumentCheck, Manifest, Task, load
from forge_evaluator.benchmarks.manifest import write
from forge_evaluator.imports import Adapter, adapter
from forge_evaluator.imports.records import Record, RecordFile, Unreadable

UNKNOWN_LICENCE = "see the data set's own"
_TOLD_EVERY = 50

Told = Callable[[int, int, int], None]
"""How many tasks there are so far, and how many bytes of how many were read."""


class NothingImported(Invalid):
    """The file has no record that the adapter understands."""


@dataclass(frozen=True, slots=True)
class Refused:
    line: int
    reason: str


@dataclass(slots=True)
class Imported:
    """`refused` has every record that was left out; `needs_judge` counts tasks that nothing but a judge can score."""

    file: Path
    records: int = 0
    tasks: int = 0
    needs_judge: int = 0
    refused: list[Refused] = field(default_factory=list)
    manifest: Manifest | None = None

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(refused.reason for refused in self.refused).most_common())


def convert(
    name: str, source: Path, out: Path, *, licence: str | None = None, told: Told = lambda *_: None
) -> Imported:
    """Write `out` and its manifest; an existing file is replaced only when the new one is whole. Raises NothingImported."""
    read, imported = adapter(name), Imported(out)
    records = RecordFile(source)
    aside = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as file:
            for _ in _written(read, records, file, imported):
                if imported.records % _TOLD_EVERY == 0:
                    told(imported.tasks, records.position, records.size)
        _check(name, source, imported)
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)
        records.close()
    out.with_name(f"{out.stem}.manifest.json").unlink(missing_ok=True)
    imported.manifest = write(
        out,
        load(out).contents,
        licence=licence or UNKNOWN_LICENCE,
        description=f"imported by the adapter {name} from {source.name}",
    )
    return imported


def _written(read: Adapter, records: RecordFile, file: IO[str], imported: Imported) -> Iterator[None]:
    lines: dict[str, int] = {}
    for record in records.records():
        imported.records += 1
        try:
            task = _task(read, record, lines)
        except Unreadable as error:
            imported.refused.append(Refused(record.line, error.message))
        else:
            imported.tasks += 1
            imported.needs_judge += _needs_judge(task)
            file.write(json.dumps(task.model_dump(mode="json", exclude_none=True), ensure_ascii=False) + "\n")
        yield


def _task(read: Adapter, record: Record, lines: dict[str, int]) -> Task:
    if record.refused is not None:
        raise Unreadable(record.refused)
    try:
        task = read(record.fields, record.line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unreadable(f"{place}: {first['msg']}") from error
    if task.id in lines:
        raise Unreadable(f"the id {task.id} is that of line {lines[task.id]}")
    lines[task.id] = record.line
    return task


def _needs_judge(task: Task) -> bool:
    return isinstance(task.check, DocumentCheck) and all(line.check is None for line in task.check.rubric)


def _check(name: str, source: Path, imported: Imported) -> None:
    if imported.tasks:
        return
    if not imported.records:
        raise NothingImported(f"{source} is empty", fix="give a file of JSON lines")
    first = imported.refused[0]
    raise NothingImported(
        f"none of the {imported.records} records of {source} can be read as {name}; "
        f"line {first.line}: {first.reason}",
        fix="is it another kind of file? `forge bench import --help` lists the adapters",
    )
