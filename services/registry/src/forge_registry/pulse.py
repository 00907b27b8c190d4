"""The registry's pulse: one row that says since when workers have been heard without a gap.

The sweeper runs in another process: while nobody can heartbeat, silence is not the workers' fault. Says nothing about them.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from sqlalchemy import Engine as Database
from sqlalchemy import case
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from forge_common.contracts.base import utc_now
from forge_common.db.session import session_scope
from forge_common.errors import DependencyDown
from forge_common.logging import get_logger
from forge_registry.models import PulseRow

log = get_logger()

# In shares of a lease. An outage shorter than the gap leaves a worker, which beats thrice a lease, enough of it.
EVERY, GAP = 1 / 6, 1 / 2


def beat(session: Session, lease_s: float, *, anew: bool = False) -> None:
    """The registry listens; after a gap, or `anew`, it does so only since now."""
    now = utc_now()
    silent = col(PulseRow.seen) < now - timedelta(seconds=lease_s * GAP)
    first = insert(PulseRow).values(id=1, since=now, seen=now)
    since = now if anew else case((silent, now), else_=col(PulseRow.since))
    again = first.on_conflict_do_update(index_elements=["id"], set_={"since": since, "seen": now})
    session.execute(again)


def has_listened(session: Session, lease_s: float) -> bool:
    """Whether every worker that is there could renew its lease: the registry listens, and has for a whole lease."""
    row, now = session.get(PulseRow, 1), utc_now()
    if row is None or now - row.seen > timedelta(seconds=lease_s * GAP):
        return False
    return now - row.since >= timedelta(seconds=lease_s)


class Pulse(threading.Thread):
    """Beats while the app serves."""

    def __init__(self, database: Database, lease_s: float) -> None:
        super().__init__(name="pulse", daemon=True)
        self._database, self._lease_s = database, lease_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=5)

    def run(self) -> None:
        anew = True
        while True:
            try:
                with session_scope(self._database) as session:
                    beat(session, self._lease_s, anew=anew)
                anew = False
            except DependencyDown as error:
                log.warning("pulse.missed", reason=str(error))
            if self._stopping.wait(self._lease_s * EVERY):
                return
