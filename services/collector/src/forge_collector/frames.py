"""What a spool's files look like: segments of frames `magic, length, crc32, payload`, and how they are read back.

Reading refuses to fail for what is damaged: it is skipped, counted and reported.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from forge_common.logging import get_logger

log = get_logger()

MAGIC = b"\xf5FX1"  # 0xf5 never occurs in UTF-8, so no JSON payload contains a frame's start
_HEADER = struct.Struct("<4sII")
OVERHEAD = _HEADER.size
SUFFIX, UNREADABLE = ".seg", ".unreadable"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Everything before `offset` of `segment`, and every earlier segment, has been read."""

    segment: int = 0
    offset: int = 0


@dataclass(slots=True)
class SpoolStats:
    """Counts since start; `skipped_bytes` were unreadable when they were read back. Times are seconds since 1970."""

    appended: int = 0
    appended_bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    skipped_bytes: int = 0
    fsyncs: int = 0
    fsync_failures: int = 0
    last_fsync_at: float | None = None


def framed(payload: bytes) -> bytes:
    return _HEADER.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Numbers and files, oldest first."""
    return sorted((int(path.stem), path) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


class SpoolReader:
    """Reads frames from a position on, in order.

    `end` is the writer's, asked anew at every read: the writer's own segment is read up to there, earlier ones whole.
    """

    def __init__(
        self, folder: Path, start: Position, end: Callable[[], Position], stats: SpoolStats | None = None
    ) -> None:
        self.folder = folder
        self.position = start
        self.stats = stats or SpoolStats()
        self._end = end

    def read(self, max_frames: int, max_bytes: int = 1 << 30) -> list[bytes]:
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
        if number != self.position.segment:
            self.position = Position(number, 0)
        try:
            limit = end.offset if number == end.segment else path.stat().st_size
            with path.open("rb", buffering=0) as file:
                yield from self._verified(number, _Window(file.fileno(), limit), self.position.offset)
        except FileNotFoundError:
            return  # drained and deleted since it was listed
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._give_up(path, limit, is_live=number == end.segment)

    def _verified(self, number: int, window: _Window, offset: int) -> Iterator[bytes]:
        while offset < window.limit:
            payload = window.frame(offset)
            if payload is None:
                offset = self._skip(number, window, offset)
            else:
                offset += OVERHEAD + len(payload)
            self.position = Position(number, offset)
            if payload is not None:
                yield payload

    def _skip(self, segment: int, window: _Window, broken: int) -> int:
        """Where the next whole frame starts, or the end."""
        at = window.find(MAGIC, broken + 1)
        while at < window.limit and window.frame(at) is None:
            at = window.find(MAGIC, at + 1)
        self.stats.skipped_bytes += at - broken
        log.warning("spool.skipped", segment=segment, bytes=at - broken, reason="torn or corrupt")
        return at

    def _give_up(self, path: Path, limit: int, *, is_live: bool) -> None:
        """A disk that cannot read a segment must not stop all later ones. The file is kept, for whoever can rescue it."""
        lost = limit - self.position.offset
        self.stats.skipped_bytes += lost
        log.error("spool.unreadable", segment=self.position.segment, bytes=lost)
        self.position = Position(self.position.segment, limit)
        if not is_live:
            path.rename(path.with_suffix(UNREADABLE))


def remove_unreadable(folder: Path, *, dry_run: bool) -> int:
    """Delete the segments that were given up; how many they are."""
    given_up = list(folder.glob(f"*{UNREADABLE}"))
    if not dry_run:
        for path in given_up:
            path.unlink(missing_ok=True)
    return len(given_up)


class _Window:
    """A file up to `limit`, read in large pieces."""

    def __init__(self, fd: int, limit: int) -> None:
        self.limit = limit
        self._fd, self._start, self._data = fd, 0, b""

    def frame(self, at: int) -> bytes | None:
        """The payload of the frame at `at`, or None when it is torn or does not verify."""
        header = self._read(at, OVERHEAD)
        if len(header) < OVERHEAD:
            return None
        magic, length, checksum = _HEADER.unpack(header)
        if magic != MAGIC or length > self.limit - at - OVERHEAD:
            return None
        payload = self._read(at + OVERHEAD, length)
        return payload if len(payload) == length and zlib.crc32(payload) == checksum else None

    def find(self, mark: bytes, at: int) -> int:
        """Where `mark` is next, or the limit."""
        while at < self.limit:
            piece = self._read(at, min(_CHUNK, self.limit - at))
            found = piece.find(mark)
            if found >= 0:
                return at + found
            if len(piece) <= len(mark):
                break
            at += len(piece) - len(mark) + 1
        return self.limit

    def _read(self, at: int, size: int) -> bytes:
        """`size` bytes at `at`, or what there is before the limit."""
        size = min(size, self.limit - at)
        begin = at - self._start
        if begin < 0 or begin + size > len(self._data):
            self._data, self._start, begin = self._load(at, max(size, min(_CHUNK, self.limit - at))), at, 0
        return self._data[begin : begin + size]

    def _load(self, at: int, size: int) -> bytes:
        pieces: list[bytes] = []
        while size > 0 and (piece := os.pread(self._fd, size, at)):
            pieces.append(piece)
            at, size = at + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
