"""The spool: an append-only log on disk between the traffic and Postgres. It survives kill -9 at any instant.

A frame is `magic, length, crc32, payload` and reaches the kernel in one write before the reply's last byte leaves, so
only a power cut can lose it, and then at most the last fsync group. A process never appends to a segment of an
earlier one: what a kill tore is always the end of an old segment, and is skipped with a report. Nothing here raises
into the traffic: what cannot be written (disk full, limit reached) is counted.
"""

from __future__ import annotations

import fcntl
import io
import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from forge_common.errors import Conflict
from forge_common.logging import get_logger

log = get_logger()

MAGIC = b"\xf5FX1"  # 0xf5 never occurs in UTF-8, so no JSON payload contains a frame's start
_HEADER = struct.Struct("<4sII")
_SUFFIX = ".seg"


class SpoolInUse(Conflict):
    """Another process writes to this spool."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Everything before `offset` of `segment`, and every earlier segment, has been read."""

    segment: int = 0
    offset: int = 0


@dataclass(slots=True)
class SpoolStats:
    """Counts since start; `skipped_bytes` were unreadable when they were read back."""

    appended: int = 0
    appended_bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    skipped_bytes: int = 0
    fsyncs: int = 0


class Spool:
    """The writer, and the keeper of the folder. One per folder: a lock file makes sure of it.

    `append` is called by one thread (the event loop); `release` and the statistics by any.
    """

    def __init__(self, folder: Path, *, limit_bytes: int, segment_bytes: int, fsync_s: float) -> None:
        self.folder = folder
        self.stats = SpoolStats()
        self.appended = threading.Event()
        self._limit, self._segment_limit, self._fsync_s = limit_bytes, segment_bytes, fsync_s
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(folder)
        self.id = _identity(folder)
        self._guard = threading.Lock()
        self._fd = -1
        # One object, replaced whole: a reader in another thread sees only frames that were written to their end. What
        # earlier processes left ends where it ends now, and a segment that appears later is ours.
        self.end = _tail(folder)
        self._closed_bytes = sum(path.stat().st_size for n, path in segments(folder) if n != self.end.segment)
        self._changed = threading.Event()
        self._is_closing = False
        self._syncer = threading.Thread(target=self._sync_forever, name="spool-fsync", daemon=True)
        self._syncer.start()

    @property
    def bytes_on_disk(self) -> int:
        return self._closed_bytes + self.end.offset

    def reader(self, start: Position) -> SpoolReader:
        return SpoolReader(self.folder, start, lambda: self.end, self.stats)

    def append(self, payload: bytes) -> bool:
        """Hand one frame to the kernel. False when it was dropped, and counted, instead."""
        size = _HEADER.size + len(payload)
        if self.bytes_on_disk + size > self._limit:
            return self._drop("spool_full")
        try:
            if self._fd < 0 or self.end.offset + size > self._segment_limit:
                self._rotate()
            self._write(_HEADER.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload)
        except OSError as error:
            return self._drop(f"write_failed_{error.errno}")
        self.stats.appended += 1
        self.stats.appended_bytes += size
        if not self._changed.is_set():
            self._changed.set()
        if not self.appended.is_set():
            self.appended.set()
        return True

    def release(self, position: Position) -> None:
        """Delete the segments that lie wholly before `position`."""
        for number, path in segments(self.folder):
            if number < position.segment and number != self.end.segment:
                with self._guard:
                    self._closed_bytes -= path.stat().st_size
                path.unlink()

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._changed.set()
        self._syncer.join()
        if self._fd >= 0:
            os.fsync(self._fd)
            os.close(self._fd)
        os.close(self._lock)

    def _write(self, frame: bytes) -> None:
        written = 0
        try:
            while written < len(frame):
                written += os.write(self._fd, frame[written:] if written else frame)
        except OSError:
            self._mend()
            raise
        self.end = Position(self.end.segment, self.end.offset + len(frame))

    def _mend(self) -> None:
        """Cut a torn frame off; where even that fails, the next frame opens a new segment and readers skip the torn one."""
        try:
            os.ftruncate(self._fd, self.end.offset)
        except OSError:
            with self._guard:
                os.close(self._fd)
                self._fd = -1

    def _rotate(self) -> None:
        # By the clock, so that a number never comes back after all segments were drained and deleted.
        number = max(time.time_ns(), self.end.segment + 1, *(n + 1 for n, _ in segments(self.folder)))
        path = self.folder / f"{number:020d}{_SUFFIX}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        with self._guard:
            old, self._fd = self._fd, fd
            self._closed_bytes += self.end.offset
            self.end = Position(number, 0)
        if old >= 0:
            _sync(old)
            os.close(old)
        _sync_folder(self.folder)

    def _drop(self, reason: str) -> bool:
        count = self.stats.dropped.get(reason, 0) + 1
        self.stats.dropped[reason] = count
        if count & (count - 1) == 0:  # at 1, 2, 4, 8, …: loud, and still readable when the disk stays full
            log.error("spool.dropped", reason=reason, dropped=count)
        return False

    def _sync_forever(self) -> None:
        while not self._is_closing:
            self._changed.wait()
            # The group: whatever arrives in this window shares one fsync.
            time.sleep(self._fsync_s)
            self._changed.clear()
            with self._guard:
                fd = os.dup(self._fd) if self._fd >= 0 else -1
            if fd >= 0:
                self._sync_group(fd)

    def _sync_group(self, fd: int) -> None:
        try:
            _sync(fd)
            self.stats.fsyncs += 1
        except OSError as error:
            log.error("spool.fsync_failed", reason=str(error))  # noqa: TRY400  one line a group is enough
        finally:
            os.close(fd)


class SpoolReader:
    """Reads frames from a position on. What does not verify is skipped, counted and reported, never fatal.

    `end` is the writer's, asked anew at every read: the writer's own segment is read up to there, earlier ones whole.
    """

    def __init__(
        self, folder: Path, start: Position, end: Callable[[], Position], stats: SpoolStats | None = None
    ) -> None:
        self.folder = folder
        self.position = start
        self.stats = stats or SpoolStats()
        self._end = end

    def read(self, max_frames: int, max_bytes: int = 16 << 20) -> list[bytes]:
        """The next frames' payloads, none when everything was read; `position` is then behind the last of them."""
        frames: list[bytes] = []
        size, end = 0, self._end()
        for number, path in segments(self.folder):
            if not self.position.segment <= number <= end.segment:
                continue
            for payload in self._frames(number, path, end):
                frames.append(payload)
                size += len(payload)
                if len(frames) >= max_frames or size >= max_bytes:
                    return frames
            if number != end.segment:
                self.position = Position(number + 1, 0)
        return frames

    def _frames(self, number: int, path: Path, end: Position) -> Iterator[bytes]:
        offset = self.position.offset if number == self.position.segment else 0
        limit = end.offset if number == end.segment else path.stat().st_size
        with path.open("rb") as file:
            file.seek(offset)
            while offset < limit:
                payload = _read_frame(file, limit - offset)
                if payload is not None:
                    offset += _HEADER.size + len(payload)
                else:
                    offset = self._skip(number, path, offset, limit)
                    file.seek(offset)
                self.position = Position(number, offset)
                if payload is not None:
                    yield payload

    def _skip(self, segment: int, path: Path, broken: int, limit: int) -> int:
        """Where the next whole frame starts, or `limit`."""
        with path.open("rb") as file:
            data = file.read(limit)
        at = data.find(MAGIC, broken + 1)
        while at >= 0 and _read_frame(io.BytesIO(data[at:]), limit - at) is None:
            at = data.find(MAGIC, at + 1)
        after = at if at >= 0 else limit
        self.stats.skipped_bytes += after - broken
        log.warning("spool.skipped", segment=segment, bytes=after - broken, reason="torn or corrupt")
        return after


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Numbers and files, oldest first."""
    return sorted((int(path.stem), path) for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())


def _tail(folder: Path) -> Position:
    return max((Position(n, path.stat().st_size) for n, path in segments(folder)), default=Position())


def _read_frame(file: BinaryIO, room: int) -> bytes | None:
    """The payload of the frame at the file's position, or None when it is torn or does not verify."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, length, checksum = _HEADER.unpack(header)
    if magic != MAGIC or length > room - _HEADER.size:
        return None
    payload = file.read(length)
    return payload if len(payload) == length and zlib.crc32(payload) == checksum else None


def _sync(fd: int) -> None:
    getattr(os, "fdatasync", os.fsync)(fd)  # macOS has no fdatasync


def _lock(folder: Path) -> int:
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise SpoolInUse(
            f"another collector writes to {folder}", fix="stop it, or give this one its own FORGE_HOME"
        ) from error
    return fd


def _identity(folder: Path) -> str:
    """What names this spool in Postgres; made once, lives as long as the folder."""
    path = folder / "id"
    if not path.exists():
        aside = folder / ".id"
        aside.write_text(secrets.token_hex(12))
        aside.replace(path)
        _sync_folder(folder)
    return path.read_text().strip()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
