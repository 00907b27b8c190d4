"""From the spool to Postgres in batches, exactly once: the position is committed with what was read.

A thread of the collector's process, woken by the spool and not by a clock. While Postgres is away it waits, longer
each time, and loses nothing. A record that can never be stored is set aside in a file, so that it stops nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlmodel import Session

from forge_collector import repository
from forge_collector.spool import Position, Spool, SpoolReader
from forge_common.contracts.exchange import Exchange
from forge_common.db.session import session_scope
from forge_common.errors import DependencyDown
from forge_common.logging import get_logger

log = get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0
Unstorable = (DataError, IntegrityError)


@dataclass(slots=True)
class DrainStats:
    """Counts since start. `is_down` while Postgres is away."""

    stored: int = 0
    known: int = 0
    rejected: int = 0
    batches: int = 0
    is_down: bool = False


class Drainer:
    def __init__(self, spool: Spool, engine: Engine, *, batch: int, linger_s: float) -> None:
        self.stats = DrainStats()
        self.position = Position()
        self._spool, self._engine = spool, engine
        self._batch, self._linger_s = batch, linger_s
        self._stopped = threading.Event()
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_until_drained(self, timeout_s: float) -> bool:
        """Wait until all that was appended before this call is in Postgres. False when that took too long."""
        target = self._spool.end
        with self._moved:
            return self._moved.wait_for(lambda: self.position >= target, timeout_s)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Store what is in the spool now, if Postgres is there, and end."""
        self._stopped.set()
        self._spool.appended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._work()
            except Exception:
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
            while self._drain(reader):
                pass
            if self._stopped.is_set():
                return
            self._spool.appended.wait()
            # Others are close behind the first one: one transaction for all of them.
            self._stopped.wait(self._linger_s)

    def _patiently(self, step: Callable[[], Position]) -> Position | None:
        """Do `step`, again and again while Postgres is away. None when we were stopped meanwhile."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                result = step()
            except (DependencyDown, SQLAlchemyError) as error:
                if not self.stats.is_down:
                    log.warning("drainer.paused", reason=str(error).splitlines()[0])
                self.stats.is_down = True
                if self._stopped.wait(pause):
                    return None
                pause = min(pause * 2, LONGEST_PAUSE_S)
                continue
            if self.stats.is_down:
                log.info("drainer.resumed")
            self.stats.is_down = False
            return result

    def _drain(self, reader: SpoolReader) -> bool:
        """Store one batch. False when there is none, or when we were stopped while Postgres is away."""
        before = reader.position
        frames = reader.read(self._batch)
        if reader.position == before:
            return False
        exchanges = [exchange for frame in frames if (exchange := self._parse(frame))]
        return self._patiently(lambda: self._store(exchanges, reader.position)) is not None

    def _store(self, exchanges: list[Exchange], position: Position) -> Position:
        try:
            stored = self._insert(exchanges, position)
        except Unstorable:
            exchanges = [exchange for exchange in exchanges if self._is_storable(exchange)]
            stored = self._insert(exchanges, position)
        self.stats.stored += stored
        self.stats.known += len(exchanges) - stored
        self.stats.batches += 1
        self._spool.release(position)
        return self._reached(position)

    def _reached(self, position: Position) -> Position:
        with self._moved:
            self.position = position
            self._moved.notify_all()
        return position

    def _insert(self, exchanges: list[Exchange], position: Position) -> int:
        with session_scope(self._engine) as session:
            stored = repository.insert_exchanges(session, exchanges)
            repository.move_spool_position(session, self._spool.id, position)
        return stored

    def _start(self) -> Position:
        with session_scope(self._engine) as session:
            position = repository.spool_position(session, self._spool.id)
        return self._reached(position)

    def _parse(self, frame: bytes) -> Exchange | None:
        try:
            return Exchange.model_validate_json(frame)
        except ValidationError as error:
            self._reject(frame, f"not an exchange: {error.error_count()} errors")
            return None

    def _is_storable(self, exchange: Exchange) -> bool:
        """Try one exchange by itself, in a transaction that is thrown away."""
        try:
            with Session(self._engine) as session:
                repository.insert_exchanges(session, [exchange])
                session.rollback()
        except Unstorable as error:
            self._reject(exchange.model_dump_json().encode(), str(error.orig))
            return False
        return True

    def _reject(self, frame: bytes, reason: str) -> None:
        self.stats.rejected += 1
        # The first line only: what follows in a database's message may be the record itself.
        log.error("exchange.rejected", reason=reason.splitlines()[0][:200], set_aside="rejected.jsonl")
        with (self._spool.folder / "rejected.jsonl").open("ab") as file:
            file.write(frame + b"\n")
