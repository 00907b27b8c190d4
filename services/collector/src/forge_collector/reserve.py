"""Disk space kept back for the time when there is none: a file beside the spool that shrinks as the spool grows.

It refuses to be a quota: whatever else writes to the disk may take what it gives up, so it gives up little at a time.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from pathlib import Path

from forge_common.logging import get_logger

log = get_logger()

STEP = 1 << 20
RETRY_S = 60.0
# Filled only where it leaves others so many times its size.
ROOM = 3


class Reserve:
    """`give` is called by whoever cannot write; `refill` by a thread that may wait for the disk."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self._guard = threading.Lock()
        self._left = path.stat().st_size if path.exists() else 0
        self._tried_at = -math.inf
        if self._left > size:
            self.give(self._left - size - STEP)

    @property
    def left(self) -> int:
        return self._left

    @property
    def is_touched(self) -> bool:
        """Whether space was given that could not be taken back yet."""
        return self._left < self._size

    def give(self, size: int) -> None:
        """Free `size` bytes and a little more, or what is left."""
        with self._guard:
            left = max(self._left - size - STEP, 0)
            if self._left > 0:
                log.warning("spool.reserve_used", left=left)
                with contextlib.suppress(OSError):  # somebody else made room by deleting it
                    os.truncate(self._path, left)
            self._left = left

    def refill(self) -> None:
        """Take space back when the disk has plenty again; looked at once in a minute."""
        if not self.is_touched or time.monotonic() - self._tried_at < RETRY_S:
            return
        self._tried_at = time.monotonic()
        try:
            with self._guard:
                disk = os.statvfs(self._path.parent)
                if disk.f_bavail * disk.f_frsize > ROOM * self._size:
                    self._fill()
        except OSError as error:
            log.warning("spool.reserve_missing", reason=str(error))

    def _fill(self) -> None:
        try:
            with self._path.open("ab") as file:
                _allocate(file.fileno(), self._left, self._size - self._left)
        except OSError:
            os.truncate(self._path, self._left)
            raise
        self._left = self._size


def _allocate(fd: int, start: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, start, size)
        return
    zeros = bytes(STEP)
    while size > 0:  # macOS
        size -= os.write(fd, zeros[:size])
