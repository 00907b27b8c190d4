"""From the spool to Postgres in batches, exactly once: the position is committed with what was read.

A thread of the collector's process, woken by the spool and not by a clock. While Postgres is away it waits, longer
each time, and loses nothing. A record that can never be stored is set aside in a file, so that it stops nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg
from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session

from forge_collector import repository
from forge_collector.frames import Position, SpoolReader
from forge_collector.repository import Row
from forge_collector.spool import Spool
from forge_common.contracts.exchange import Exchange
from forge_common.db.session import session_scope
from forge_common.errors import DependencyDown
from forge_common.logging import get_logger

log = get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0
# What no second try mends: values that Postgres does not take, more than it can hold, numbers too large to send.
UNSTORABLE = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded, OverflowError)
FAILURES = (DependencyDown, SQLAlchemyError, psycopg.Error)
# Records that were set aside are kept up to so many bytes.
ASIDE, ASIDE_LIMIT = "rejected.jsonl", 256 << 20

# Bytes stored in one transaction, and while the disk is full and the spool waits for them.
LARGEST_BATCH, TIGHT_BATCH = 16 << 20, 1 << 19

Store = Callable[[Session, Iterable[Row]], int]


class Batch:
    """Rows by id, made of frames while the first of them are being stored, and kept for another try.

    Rows of plain values, and no exchanges: thousands of those keep the garbage collector busier than all the rest.
    """

    def __init__(self, frames: Iterable[bytes], parse: Callable[[bytes], Row | None]) -> None:
        self.rows: dict[str, Row] = {}
        self._frames, self._parse = iter(frames), parse

    def __iter__(self) -> Iterator[Row]:
        yield from list(self.rows.values())
        for frame in self._frames:
            row = self._parse(frame)
            if row is not None and row["id"] not in self.rows:
                self.rows[row["id"]] = row
                yield row


@dataclass(slots=True)
class DrainStats:
    """Counts since start. `is_down` while Postgres is away; `trouble` says why nothing is stored right now."""

    stored: int = 0
    known: int = 0
    rejected: int = 0
    batches: int = 0
    is_down: bool = False
    trouble: str | None = None


class Drainer:
    def __init__(
        self,
        spool: Spool,
        engine: Engine,
        *,
        batch: int,
        linger_s: float,
        migrate: Callable[[], None] = lambda: None,
    ) -> None:
        self.stats = DrainStats()
        self.position = Position()
        # Since when the oldest exchange that is not in Postgres has been waiting, in seconds since 1970. A process
        # begins without knowing what was drained: what it finds may all be waiting.
        self._waiting_since: float | None = spool.oldest_at
        self._spool, self._engine = spool, engine
        self._batch, self._linger_s = batch, linger_s
        # The schema may be older than we are, and a Postgres that is away must not keep the traffic waiting for it.
        self._migrate = migrate
        self._aside = threading.Lock()
        self._stopped = threading.Event()
        self._hurry = threading.Event()
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)

    @property
    def waiting_s(self) -> float:
        """The age of the oldest exchange that is not in Postgres; 0 when there is none."""
        since = self._waiting_since
        return max(time.time() - since, 0.0) if since is not None else 0.0

    def start(self) -> None:
        self._thread.start()

    def wait_until_drained(self, timeout_s: float) -> bool:
        """Wait until all that was appended before this call is in Postgres. False when that took too long."""
        target = self._spool.end
        self._hurry.set()
        with self._moved:
            return self._moved.wait_for(lambda: self.position >= target, timeout_s)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Store what is in the spool now, if Postgres is there, and end."""
        self._stopped.set()
        self._hurry.set()
        self._spool.appended.set()
        self._thread.join(timeout_s)

    def erase_set_aside(self, fits: Callable[[bytes], bool], *, dry_run: bool) -> int:
        """Remove the records that fit from the file of those that could not be stored; how many they are."""
        path = self._spool.folder / ASIDE
        with self._aside:
            records = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            kept = [record for record in records if not fits(record)]
            if len(kept) < len(records) and not dry_run:
                new = path.with_suffix(".new")
                new.write_bytes(b"".join(kept))
                new.replace(path)
        return len(records) - len(kept)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._work()
            except Exception as error:
                self.stats.trouble = f"{type(error).__name__}: {_first_line(error)}"
                # A spool that nobody drains fills up in silence; so this thread outlives its own bugs.
                log.exception("drainer.crashed")
                self._stopped.wait(LONGEST_PAUSE_S)

    def _work(self) -> None:
        position = self._patiently(self._start)
        if position is None:
            return
        reader = self._spool.reader(position)
        while True:
            self._spool.appended.clear()
            # Before all is drained: whoever hurries from here on is not forgotten.
            self._hurry.clear()
            while self._drain(reader):
                pass
            if self._stopped.is_set():
                return
            self._spool.appended.wait()
            # Others are close behind the first one: one transaction for all of them.
            self._hurry.wait(self._linger_s)

    def _patiently(self, step: Callable[[], Position]) -> Position | None:
        """Do `step`, again and again while Postgres is away. None when we were stopped meanwhile."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                result = step()
            except FAILURES as error:
                self.stats.trouble = _first_line(error)
                if not self.stats.is_down:
                    log.warning("drainer.paused", reason=self.stats.trouble)
                self.stats.is_down = True
                if self._stopped.wait(pause):
                    return None
                pause = min(pause * 2, LONGEST_PAUSE_S)
                continue
            if self.stats.is_down:
                log.info("drainer.resumed")
            self.stats.is_down, self.stats.trouble = False, None
            return result

    def _drain(self, reader: SpoolReader) -> bool:
        """Store one batch. False when there is none, or when we were stopped while Postgres is away."""
        before = reader.position
        most = TIGHT_BATCH if self._spool.is_tight else LARGEST_BATCH
        batch = Batch(reader.read(self._batch, most), self._parse)
        if reader.position == before:
            return False
        # The first one is made now, wherever Postgres hangs: it has waited longest.
        next(iter(batch), None)
        return self._patiently(lambda: self._store(batch, reader.position)) is not None

    def _store(self, batch: Batch, position: Position) -> Position:
        stored = self._insert(batch, position)
        self.stats.stored += stored
        self.stats.known += len(batch.rows) - stored
        self.stats.batches += 1
        return self._reached(position)

    def _insert(self, batch: Batch, position: Position) -> int:
        # Quickly; else skipping what is there already; else without what can never be stored.
        for store in (repository.copy_rows, repository.insert_rows):
            try:
                return self._commit(store, batch, position)
            except (*FAILURES, OverflowError) as error:
                if not _is_unstorable(error):
                    raise
        batch.rows = {id_: row for id_, row in batch.rows.items() if self._is_storable(row)}
        return self._commit(repository.insert_rows, batch, position)

    def _commit(self, store: Store, batch: Batch, position: Position) -> int:
        with session_scope(self._engine) as session:
            repository.require_durable_commit(session)
            stored = store(session, batch)
            repository.move_spool_position(session, self._spool.id, position)
        return stored

    def _reached(self, position: Position) -> Position:
        # Not before the commit: a segment lives until what it holds is durable in Postgres.
        self._spool.release(position)
        self._waiting_since = None
        with self._moved:
            self.position = position
            self._moved.notify_all()
        return position

    def _start(self) -> Position:
        self._migrate()
        with session_scope(self._engine) as session:
            position = repository.spool_position(session, self._spool.id)
        return self._reached(position)

    def _parse(self, frame: bytes) -> Row | None:
        try:
            exchange = Exchange.model_validate_json(frame)
        except ValidationError as error:
            self._reject(frame, f"not an exchange: {error.error_count()} errors")
            return None
        if self._waiting_since is None:
            self._waiting_since = exchange.captured_at.timestamp() + (exchange.total_s or 0.0)
        return repository.exchange_row(exchange, frame.decode())

    def _is_storable(self, row: Row) -> bool:
        """Try one by itself, in a transaction that is thrown away."""
        try:
            with Session(self._engine) as session:
                repository.insert_rows(session, [row])
                session.rollback()
        except (*FAILURES, OverflowError) as error:
            if not _is_unstorable(error):
                raise
            self._reject(row["document"].encode(), _first_line(error))
            return False
        return True

    def _reject(self, frame: bytes, reason: str) -> None:
        self.stats.rejected += 1
        is_kept = self._set_aside(frame)
        log.error("exchange.rejected", reason=reason[:200], set_aside=is_kept and ASIDE)

    def _set_aside(self, frame: bytes) -> bool:
        try:
            with self._aside, (self._spool.folder / ASIDE).open("ab") as file:
                if file.tell() + len(frame) > ASIDE_LIMIT:
                    return False
                file.write(frame + b"\n")
        except OSError:
            return False
        return True


def _is_unstorable(error: Exception) -> bool:
    """Whether the record is to blame, and not the server's state."""
    cause = error.__cause__ if isinstance(error, DependencyDown) else error
    original = cause.orig if isinstance(cause, DBAPIError) else cause
    return isinstance(original, UNSTORABLE)


def _first_line(error: Exception) -> str:
    # What follows in a database's message may be the record itself.
    return str(error).partition("\n")[0]
