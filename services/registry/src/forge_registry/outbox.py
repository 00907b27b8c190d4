"""What leaves after commit: doorbells to the queue, and the engine's `:latest` aliases.

A row is written in the transaction that wants it and sent afterwards, outside of any: leased, sent, marked. A process
that dies in between leaves the row to the next one, so a row may be sent twice and never not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine, delete, func
from sqlmodel import Session, col, select

from forge_common.contracts.base import utc_now
from forge_common.contracts.tasks import P, TaskSpec
from forge_common.db.session import session_scope
from forge_common.errors import ForgeError
from forge_common.logging import get_logger
from forge_registry.models import Outbox, OutboxKind

log = get_logger()

CHANNEL = "forge_registry"
OUTBOX_TOPIC = "outbox"
LEASE = timedelta(seconds=30)
LONGEST_PAUSE_S = 30
KEEP_SENT = timedelta(hours=24)

Send = Callable[[Outbox], None]


def notify(session: Session, topic: str) -> None:
    """Wake whoever waits for `topic`, in any process, when this transaction commits."""
    session.execute(select(func.pg_notify(CHANNEL, topic)))


def ring_after_commit(session: Session, spec: TaskSpec[P], payload: P, *, delay_s: float = 0) -> None:
    row = Outbox(
        kind=OutboxKind.BELL,
        subject=spec.name,
        queue=spec.queue,
        payload=payload.model_dump_json(),
        due_at=utc_now() + timedelta(seconds=delay_s),
    )
    _add(session, row)


def alias_after_commit(session: Session, domain: str) -> None:
    _add(session, Outbox(kind=OutboxKind.ALIAS, subject=domain, due_at=utc_now()))


def flush(engine: Engine, kind: OutboxKind, send: Send) -> int:
    """Send what is due; returns how many rows left. A refused row is tried again later, with growing pauses."""
    sent = 0
    while row := _lease(engine, kind):
        try:
            send(row)
        except ForgeError as error:
            log.warning("outbox.refused", kind=kind, subject=row.subject, tries=row.tries, reason=str(error))
            _postpone(engine, row, str(error))
            return sent
        _mark_sent(engine, row)
        sent += 1
    return sent


def forget_sent(session: Session) -> None:
    """Drop rows that left a day ago."""
    session.execute(delete(Outbox).where(col(Outbox.sent_at) < utc_now() - KEEP_SENT))


class Courier(threading.Thread):
    """Sends one kind of row as soon as it is committed; `wake` is called by the listener, else it sleeps."""

    def __init__(self, engine: Engine, kind: OutboxKind, send: Send) -> None:
        super().__init__(name=f"courier-{kind}", daemon=True)
        self._engine, self._kind, self._send = engine, kind, send
        self._news, self._stopping = threading.Event(), threading.Event()

    def wake(self) -> None:
        self._news.set()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()
        self.join(timeout=5)

    def run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                flush(self._engine, self._kind, self._send)
                pause = _next_due_in(self._engine, self._kind)
            except Exception as error:  # noqa: BLE001  a courier that died would strand every later row
                log.warning("courier.failed", kind=self._kind, reason=str(error))
                pause = 1.0
            self._news.wait(pause)


def _add(session: Session, row: Outbox) -> None:
    session.add(row)
    notify(session, OUTBOX_TOPIC)


def _lease(engine: Engine, kind: OutboxKind) -> Outbox | None:
    """The oldest row that is due, ours for the time that a send may take."""
    now = utc_now()
    with session_scope(engine) as session:
        due = select(Outbox).where(
            col(Outbox.kind) == kind, col(Outbox.sent_at).is_(None), col(Outbox.due_at) <= now
        )
        row = session.exec(
            due.order_by(col(Outbox.id)).limit(1).with_for_update(skip_locked=True)
        ).one_or_none()
        if row is not None:
            row.due_at = now + LEASE
            row.tries += 1
    return row


def _postpone(engine: Engine, row: Outbox, reason: str) -> None:
    pause = min(2 ** min(row.tries - 1, 10), LONGEST_PAUSE_S)
    with session_scope(engine) as session:
        fresh = session.get_one(Outbox, row.id)
        fresh.due_at, fresh.error = utc_now() + timedelta(seconds=pause), reason


def _mark_sent(engine: Engine, row: Outbox) -> None:
    with session_scope(engine) as session:
        fresh = session.get_one(Outbox, row.id)
        fresh.sent_at, fresh.error = utc_now(), None


def _next_due_in(engine: Engine, kind: OutboxKind) -> float | None:
    """Seconds until the next row is due; None when there is none."""
    with session_scope(engine) as session:
        query = select(func.min(Outbox.due_at)).where(col(Outbox.kind) == kind, col(Outbox.sent_at).is_(None))
        due = session.exec(query).one()
    return None if due is None else max(0.05, (due - utc_now()).total_seconds())
