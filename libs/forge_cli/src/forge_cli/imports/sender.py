"""Sends a file's records in batches, from where an earlier import of it ended. What the collector confirmed is stored.

A connection that breaks and a collector that restarts are waited for; after that the next run goes on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from forge_cli.clients import CollectorClient
from forge_cli.imports.files import Source
from forge_cli.imports.rejected import RejectedFile
from forge_common.contracts.imports import (
    Batch,
    ImportReceipt,
    ImportStart,
    ImportState,
    Preview,
    Record,
)
from forge_common.errors import DependencyDown, Invalid, RemoteProblem

BATCH_RECORDS, BATCH_BYTES = 500, 2 * 1024 * 1024
# Enough for a restart of the collector or of Postgres.
PATIENCE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 120.0, 0.2, 5.0
LOOKED_AT = 100
_TOO_LARGE = 413

T = TypeVar("T")


class NothingKnown(Invalid):
    """None of the records that were looked at is of a format that the collector reads."""


class Watcher(Protocol):
    def __call__(self, source: Source, receipt: ImportReceipt, records: int) -> None:
        """`records` of the source are dealt with."""
        ...


@dataclass(slots=True)
class Imported:
    """What became of a file. `resumed_at` records were dealt with by an earlier run; `changed` while it was read."""

    receipt: ImportReceipt
    records: int = 0
    resumed_at: int = 0
    was_finished: bool = False
    changed: bool = False

    @property
    def state(self) -> str:
        if self.was_finished:
            return "imported before"
        return "changed meanwhile" if self.changed else "imported"


class Sender:
    def __init__(
        self,
        collector: CollectorClient,
        start: ImportStart,
        *,
        rejected: RejectedFile | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self._collector, self._start = collector, start
        self._rejected = rejected
        self._watch = watch or (lambda *_: None)

    def send(self, source: Source, records: Iterator[Record]) -> Imported:
        """Import the file. Raises NothingKnown, before anything is stored, when it holds nothing that could be read."""
        import_id = source.import_id(self._start)
        state = self._collector.begin_import(import_id, self._start)
        if state.finished:
            return Imported(state, state.position, was_finished=True)
        if state.position == 0:
            self._look(source)
        resumed_at = state.position
        self._skip(source, records, state)
        for batch in _batches(records):
            state = self._send(source, state, batch)
        changed = source.has_changed()
        if not changed:
            state = self._patiently(lambda: self._collector.finish_import(import_id), state)
        return Imported(state, state.position, resumed_at, changed=changed)

    def preview(self, source: Source, records: Iterator[Record]) -> Imported:
        """What `send` would say, of all records, with nothing kept."""
        self._look(source)
        whole, done = ImportReceipt(), 0
        for batch in _batches(records):
            receipt = self._preview(batch)
            done += len(batch)
            if self._rejected:
                self._rejected.add("preview", source.path.name, receipt.rejections, _by_number(batch))
            whole = _sum(whole, receipt)
            self._watch(source, whole, done)
        return Imported(whole, done)

    def _look(self, source: Source) -> None:
        """Raises NothingKnown; a format that was named is taken at its word."""
        first = next(_batches(source.records(), LOOKED_AT), [])
        if not first or self._start.format:
            return
        receipt = self._preview(first)
        if not receipt.formats:
            example = receipt.rejections[0]
            raise NothingKnown(
                f"{source.path} holds no record of a known format; {example.at} is {example.reason}",
                fix="name the format with --format, if it is one of these",
            )

    def _preview(self, batch: list[Record]) -> ImportReceipt:
        return self._collector.preview_import(
            Preview(domain=self._start.domain, format=self._start.format, records=tuple(batch))
        )

    def _skip(self, source: Source, records: Iterator[Record], state: ImportState) -> None:
        """Go to where the import is. The last batch's rejections may not have been written before a kill."""
        missing = {rejection.at for rejection in state.rejections}
        kept: dict[int, Record] = {}
        for _ in range(state.position):
            record = next(records, None)
            if record is not None and record.at in missing:
                kept[record.at] = record
        if self._rejected:
            self._rejected.add(state.id, source.path.name, state.rejections, kept)
        self._watch(source, state, state.position)

    def _send(self, source: Source, state: ImportState, records: list[Record]) -> ImportState:
        batch = Batch(position=state.position, records=tuple(records))
        try:
            after = self._patiently(lambda: self._collector.import_batch(state.id, batch), state)
        except RemoteProblem as error:
            if error.status != _TOO_LARGE:
                raise
            for part in _smaller(records):
                state = self._send(source, state, part)
            return state
        if self._rejected:
            self._rejected.add(state.id, source.path.name, after.rejections, _by_number(records))
        self._watch(source, after, after.position)
        return after

    def _patiently(self, step: Callable[[], T], state: ImportState) -> T:
        deadline, pause = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            try:
                return step()
            except DependencyDown as error:
                if error.code == "bug" or time.monotonic() > deadline:
                    raise DependencyDown(
                        f"{error.message}; {state.position} records are dealt with",
                        code=error.code,
                        fix="run the same command again: it goes on from there",
                    ) from error
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


def _batches(records: Iterator[Record], most: int = BATCH_RECORDS) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.text or "")
        if len(batch) == most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _smaller(records: list[Record]) -> list[list[Record]]:
    if len(records) > 1:
        middle = len(records) // 2
        return [records[:middle], records[middle:]]
    return [[Record(at=records[0].at, refused="longer than the collector takes at once")]]


def _by_number(records: list[Record]) -> dict[int, Record]:
    return {record.at: record for record in records}


def _sum(before: ImportReceipt, now: ImportReceipt) -> ImportReceipt:
    return ImportReceipt(
        accepted=before.accepted + now.accepted,
        known=before.known + now.known,
        rejected=before.rejected + now.rejected,
        formats=dict(Counter(before.formats) + Counter(now.formats)),
        reasons=dict(Counter(before.reasons) + Counter(now.reasons)),
        examples=(before.examples + now.rejections)[:50],
    )
