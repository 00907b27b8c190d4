"""What is wrong with capture right now, each by a code and a sentence. The traffic flows all the while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from forge_collector.drainer import Drainer
from forge_collector.spool import Spool
from forge_common.errors import ForgeError

# A healthy drainer stores within a second.
LONGEST_WAIT_S = 60.0
PROBE_S = 2.0

ADVICE = {
    "disk_full": "free disk space",
    "spool_full": "bring Postgres back, or raise FORGE_COLLECTOR_SPOOL_LIMIT",
}

Symptom = tuple[str, str]


class Probe:
    """Asks Postgres, and does not wait for one that is frozen or cut off."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._thread: threading.Thread | None = None
        self._is_up = False

    def answers(self) -> bool:
        thread = self._thread
        if thread is None or not thread.is_alive():
            thread = self._thread = threading.Thread(target=self._ask, name="probe", daemon=True)
            thread.start()
        thread.join(PROBE_S)
        return self._is_up and not thread.is_alive()

    def _ask(self) -> None:
        try:
            self._check()
        except ForgeError:
            self._is_up = False
        else:
            self._is_up = True


def symptoms(spool: Spool, drainer: Drainer, postgres: Probe) -> Iterator[Symptom]:
    if drainer.stats.is_down or not postgres.answers():
        yield "postgres_down", "Postgres is away; exchanges wait in the spool"
    elif drainer.stats.trouble:
        yield "drainer_failing", "exchanges wait in the spool; the collector's log says why"
    elif drainer.waiting_s > LONGEST_WAIT_S:
        yield "backlog_old", f"an exchange has waited for {drainer.waiting_s:.0f} s to be stored"
    yield from _of_the_disk(spool)


def _of_the_disk(spool: Spool) -> Iterator[Symptom]:
    if spool.refusing:
        advice = ADVICE.get(spool.refusing, "the collector's log says more")
        yield spool.refusing, f"the last exchanges passed and were only counted: {advice}"
    elif spool.reserve.is_touched:
        left = spool.reserve.left / 1e6
        yield "disk_low", f"the disk is nearly full: {left:.0f} MB of the spool's reserve are left"
    if spool.fsync_error:
        yield "fsync_failed", "the disk does not confirm writes; a power cut may cost what is not stored yet"
