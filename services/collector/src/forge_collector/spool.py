"""The spool: an append-only log on disk between the traffic and Postgres. It survives kill -9 at any instant.

A frame reaches the kernel in one write before the reply's last byte leaves, so only a power cut can lose it, and then
at most the last fsync group. A process never appends to a segment of an earlier one: what a kill tore is always the
end of an old segment, and is skipped with a report. Nothing here raises into the traffic: what cannot be written (disk
full, limit reached) is counted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import secrets
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from forge_collector.frames import (
    SUFFIX,
    Position,
    SpoolReader,
    SpoolStats,
    framed,
    segments,
)
from forge_collector.reserve import Reserve
from forge_common.errors import Conflict, ForgeError
from forge_common.logging import get_logger

log = get_logger()

# A share of the limit, so that a small spool still gives back what was drained piece by piece.
_SEGMENTS_AT_LEAST = 4
# Of the spool while there is no space: what was drained is given back in such pieces.
_TIGHT_SEGMENT = 256 << 10
# A disk that fails every fsync gets a new file so often, not one for every group.
_NEW_FILE_S = 1.0
# Who wakes another thread holds what it needs to run: so while frames keep coming, the fsync thread looks for itself.
_QUIET_WINDOWS = 8
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# Why a frame is not taken; draining helps against these two.
_FULL, _DISK_FULL = "spool_full", "disk_full"


class SpoolInUse(Conflict):
    """Another process writes to this spool."""


class SpoolUnusable(ForgeError):
    """The spool's folder cannot be made or written."""


class Spool:
    """The writer, and the keeper of the folder. One per folder: a lock file makes sure of it.

    `append` is called by one thread (the event loop); `release` and the statistics by any. Raises SpoolInUse and
    SpoolUnusable when it is made, and never later.
    """

    def __init__(
        self, folder: Path, *, limit_bytes: int, segment_bytes: int, fsync_s: float, reserve_bytes: int = 0
    ) -> None:
        self.folder = folder
        self.stats = SpoolStats()
        self.appended = threading.Event()
        # Why the last frame was not taken; None once a frame was taken again.
        self.refusing: str | None = None
        self.limit_bytes, self._fsync_s = limit_bytes, fsync_s
        self._segment_limit = min(segment_bytes, limit_bytes // _SEGMENTS_AT_LEAST)
        self._lock, self.id = _occupy(folder)
        self.reserve = Reserve(folder / "reserve", reserve_bytes)
        self._guard = threading.Lock()
        self._fd = -1
        self._retired: list[int] = []
        self._distrusted, self._distrusted_at = -1, -math.inf
        self._listed = 0
        # Of the last fsync, when it failed.
        self.fsync_error: str | None = None
        self._released = Position()
        # One object, replaced whole: a reader in another thread sees only frames that were written to their end. What
        # earlier processes left ends where it ends now, and a segment that appears later is ours.
        self.end = _tail(folder)
        self._closed = {n: path.stat().st_size for n, path in segments(folder) if n != self.end.segment}
        self._closed_bytes = sum(self._closed.values())
        self._is_dirty, self._is_asleep = False, False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._is_closing = False
        self._syncer = threading.Thread(target=self._sync_forever, name="spool-fsync", daemon=True)
        self._syncer.start()

    @property
    def bytes_on_disk(self) -> int:
        return self._closed_bytes + self.end.offset

    @property
    def is_tight(self) -> bool:
        """Whether the spool must live on what is drained: it wants that soon, and in small pieces."""
        return self.reserve.is_touched or self.refusing is not None

    @property
    def draining_helps(self) -> bool:
        """Whether there is something to give back, and room is what is missing."""
        return self.bytes_on_disk > 0 and self.refusing in (None, _FULL, _DISK_FULL)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest segment was begun, in seconds since 1970."""
        return next((number / 1e9 for number, _ in segments(self.folder)), None)

    def reader(self, start: Position) -> SpoolReader:
        return SpoolReader(self.folder, start, lambda: self.end, self.stats)

    def append(self, *payloads: bytes, is_last_try: bool = True) -> bool:
        """Hand the frames to the kernel in one write. False when there is no room: dropped, and counted if nobody will try again."""
        frame = framed(payloads[0]) if len(payloads) == 1 else b"".join(map(framed, payloads))
        if self.bytes_on_disk + len(frame) > self.limit_bytes:
            self.recycle()
            if self.bytes_on_disk + len(frame) > self.limit_bytes:
                return self._refuse(_FULL, len(payloads) if is_last_try else 0)
        try:
            self._write_somehow(frame)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            reason = _DISK_FULL if error.errno in _NO_SPACE else f"write_failed_{name}"
            return self._refuse(reason, len(payloads) if is_last_try else 0)
        self.refusing = None
        self.stats.appended += len(payloads)
        self.stats.appended_bytes += len(frame)
        self._wake_syncer()
        if not self.appended.is_set():
            self.appended.set()
        return True

    def release(self, position: Position) -> None:
        """What lies before `position` is durable elsewhere: delete the segments that are wholly before it."""
        self._released = position
        for number, path in segments(self.folder):
            if number < position.segment and number != self.end.segment:
                path.unlink(missing_ok=True)
                with self._guard:
                    self._closed_bytes -= self._closed.pop(number, 0)

    def roll(self) -> None:
        """Begin a new segment, so that what was written so far is deleted once it is drained. By the thread that appends.

        Raises SpoolUnusable.
        """
        if self.end.offset == 0:
            return
        try:
            self._rotate()
        except OSError as error:
            raise SpoolUnusable(
                f"cannot begin a new file in {self.folder}: {error.strerror}", fix="free disk space there"
            ) from error
        self.appended.set()

    def recycle(self) -> None:
        """Empty the live segment when all of it was drained; the next frame opens another. By the thread that appends.

        The empty file stays until then: its number must not come back, whatever the clock says.
        """
        if self._released < self.end or self.end.offset == 0:
            return
        with contextlib.suppress(OSError):
            os.truncate(self._path(self.end.segment), 0)
            if self._fd >= 0:
                self._retire()
            self.end = Position(self.end.segment, 0)

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._wake_syncer()
        self._syncer.join()
        if self._fd >= 0:
            self._retire()
        self._sync_groups()
        os.close(self._lock)

    def _write_somehow(self, frame: bytes) -> None:
        """On a full disk what was drained makes room first, then the reserve."""
        for make_room in (self.recycle, lambda: self.reserve.give(len(frame))):
            try:
                return self._write(frame)
            except OSError as error:
                if error.errno not in _NO_SPACE:
                    raise
                make_room()
        return self._write(frame)

    def _write(self, frame: bytes) -> None:
        if self._fd < 0 or self._distrusted == self.end.segment or not self._fits(len(frame)):
            self._rotate()
        written = 0
        try:
            while written < len(frame):
                written += os.write(self._fd, frame[written:] if written else frame)
        except OSError as error:
            self._mend(is_sound=error.errno in _NO_SPACE)
            raise
        self.end = Position(self.end.segment, self.end.offset + len(frame))

    def _fits(self, size: int) -> bool:
        limit = min(self._segment_limit, _TIGHT_SEGMENT) if self.is_tight else self._segment_limit
        return self.end.offset + size <= limit

    def _mend(self, *, is_sound: bool) -> None:
        """Cut a torn frame off; where that fails too, or the disk does, the next frame opens a new segment."""
        try:
            os.ftruncate(self._fd, self.end.offset)
        except OSError:
            is_sound = False
        if not is_sound:
            self._retire()

    def _rotate(self) -> None:
        # By the clock, so that a number never comes back after all segments were drained and deleted.
        number = max(time.time_ns(), self.end.segment + 1, *(n + 1 for n, _ in segments(self.folder)))
        fd = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if self._fd >= 0:
            self._retire()
        with self._guard:
            self._fd = fd
            if self.end.offset:
                self._closed[self.end.segment] = self.end.offset
                self._closed_bytes += self.end.offset
            self.end = Position(number, 0)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:020d}{SUFFIX}"

    def _retire(self) -> None:
        """The live segment is closed by the thread that may wait for the disk: its last frames want their fsync."""
        with self._guard:
            self._retired.append(self._fd)
            self._fd = -1
        self._wake_syncer()

    def _refuse(self, reason: str, dropped: int) -> bool:
        self.refusing = reason
        for _ in range(dropped):
            self._count_drop(reason)
        return False

    def _count_drop(self, reason: str) -> None:
        count = self.stats.dropped.get(reason, 0) + 1
        self.stats.dropped[reason] = count
        if count & (count - 1) == 0:  # at 1, 2, 4, 8, …: loud, and still readable when the disk stays full
            log.error("spool.dropped", reason=reason, dropped=count)

    def _sync_forever(self) -> None:
        quiet = _QUIET_WINDOWS
        while not self._is_closing:
            self.reserve.refill()
            if self._is_dirty:
                self._is_dirty, quiet = False, 0
                self._sync_groups()
            elif quiet < _QUIET_WINDOWS:
                quiet += 1
            else:
                quiet = 0
                self._sleep_until_rung()
            # The group: whatever arrives in this window shares one fsync.
            time.sleep(self._fsync_s)

    def _sleep_until_rung(self) -> None:
        # Asleep before the look, so that nobody who comes in between is missed; who rings twice wakes us in vain.
        self._is_asleep = True
        if not self._is_dirty and not self._is_closing:
            self._bell.get()
        self._is_asleep = False

    def _wake_syncer(self) -> None:
        self._is_dirty = True
        if self._is_asleep:
            self._is_asleep = False
            self._bell.put(None)

    def _sync_groups(self) -> None:
        """Only here are segments closed, so that none is closed while it is being synced."""
        with self._guard:
            retired, self._retired = self._retired, []
            live, number = self._fd, self.end.segment
        for fd in retired:
            self._sync(fd)
            os.close(fd)
        if live >= 0 and not self._sync(live):
            self._distrust(number)
        if number != self._listed and self._sync_folder():
            self._listed = number

    def _sync(self, fd: int) -> bool:
        try:
            sync(fd)
        except OSError as error:
            self._fail(error)
            return False
        self.fsync_error = None
        self.stats.fsyncs += 1
        self.stats.last_fsync_at = time.time()
        return True

    def _sync_folder(self) -> bool:
        try:
            sync_folder(self.folder)
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: OSError) -> None:
        self.stats.fsync_failures += 1
        if self.fsync_error is None:
            log.error("spool.fsync_failed", reason=str(error))
        self.fsync_error = str(error)

    def _distrust(self, number: int) -> None:
        """After a failed fsync the kernel calls the lost pages clean, and the next fsync of that file succeeds: so what
        follows goes to a new file. What was written is read from memory by the drainer; a power cut before that loses it.
        """
        now = time.monotonic()
        if now - self._distrusted_at >= _NEW_FILE_S:
            self._distrusted, self._distrusted_at = number, now


def sync(fd: int) -> None:
    """Until the disk has it. macOS says so after fsync when only the drive's volatile cache does."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):  # not every file system knows it
            fcntl.fcntl(fd, full)
            return
    getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _tail(folder: Path) -> Position:
    return max((Position(n, path.stat().st_size) for n, path in segments(folder)), default=Position())


def _occupy(folder: Path) -> tuple[int, str]:
    """The lock, held as long as it is open, and the folder's name in Postgres."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _lock(folder), _identity(folder)
    except OSError as error:
        raise SpoolUnusable(
            f"cannot write to {folder}: {error.strerror}",
            fix="free disk space there, or mend its permissions",
        ) from error


def _lock(folder: Path) -> int:
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise SpoolInUse(
            f"another collector writes to {folder}", fix="stop it, or give this one its own FORGE_HOME"
        ) from error
    return fd


def _identity(folder: Path) -> str:
    """Made once, lives as long as the folder."""
    path = folder / "id"
    if not path.exists() or not path.read_text().strip():
        aside = folder / ".id"
        aside.write_text(secrets.token_hex(12))
        aside.replace(path)
        sync_folder(folder)
    return path.read_text().strip()
