"""Exchanges that the spool has no room for right now, while the drainer is making some: their replies' last bytes wait.

For a moment only, and only while Postgres takes what lies before them: else a full disk costs the copy, not the traffic.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from forge_collector.spool import Spool
from forge_common.http.proxy import Held

LONGEST_S = 5.0
RETRY_S = 0.02
# Of all that wait: memory is not a second spool.
MOST_BYTES = 32 << 20


@dataclass(slots=True)
class _Waiting:
    document: bytes
    settle: Callable[[bool], None]
    held: Held
    until: float = field(default_factory=lambda: time.monotonic() + LONGEST_S)


class WaitingRoom:
    """Of one event loop. `is_emptying` says whether the spool is being drained."""

    def __init__(self, spool: Spool, is_emptying: Callable[[], bool]) -> None:
        self._spool, self._is_emptying = spool, is_emptying
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0

    def append(self, document: bytes, settle: Callable[[bool], None]) -> Held | None:
        """Append now, or soon: then a future that is done once it is decided. `settle` is told whether it was kept."""
        may_wait = self._is_emptying() and self._bytes + len(document) <= MOST_BYTES
        is_kept = self._spool.append(document, is_last_try=not may_wait)
        if is_kept or not may_wait:
            settle(is_kept)
            return None
        if not self._spool.draining_helps:
            # Once more at most: after a failed write that is another file.
            settle(self._spool.append(document))
            return None
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(RETRY_S, self._retry)
        waiting = _Waiting(document, settle, loop.create_future())
        self._waiting.append(waiting)
        self._bytes += len(document)
        return waiting.held

    async def settled(self) -> None:
        """Return when nothing that waits now waits any longer."""
        if self._waiting:
            await asyncio.wait([waiting.held for waiting in self._waiting])

    def _gets_room(self) -> bool:
        return self._is_emptying() and self._spool.draining_helps

    def _retry(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            is_last_try = time.monotonic() >= first.until or not self._gets_room()
            is_kept = self._spool.append(first.document, is_last_try=is_last_try)
            if not is_kept and not is_last_try:
                asyncio.get_running_loop().call_later(RETRY_S, self._retry)
                return
            self._waiting.popleft()
            self._bytes -= len(first.document)
            first.settle(is_kept)
            if not first.held.done():
                first.held.set_result(None)
