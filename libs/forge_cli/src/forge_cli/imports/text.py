"""A file's bytes as UTF-8 in pieces, whatever it is packed or encoded in. Memory does not grow with the file."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from forge_common.errors import Invalid

PIECE = 256 * 1024
HEAD = 1024 * 1024
_GZIP = b"\x1f\x8b"
# The longest mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_FOREIGN = {
    b"PAR1": "a Parquet file: export JSON lines instead",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it first",
    b"BZh": "packed with bzip2: unpack it first",
    b"\xfd7zXZ": "packed with xz: unpack it first",
}


class FileUnreadable(Invalid):
    """There is nothing in this file that could be imported."""


class TextFile:
    """`position` is how many bytes of the file are read; `damage` says why not all of it could be unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: str | None = None
        self._raw: IO[bytes] = path.open("rb")

    @property
    def position(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()

    def head(self) -> bytes:
        """The first megabyte, as `pieces` gives it; raises FileUnreadable for what is no text at all."""
        head = b""
        for piece in self.pieces():
            head += piece
            if len(head) >= HEAD:
                break
        self.damage = None
        return head

    def pieces(self) -> Iterator[bytes]:
        """From the beginning. Raises FileUnreadable."""
        self._raw.seek(0)
        unpacked = self._unpacked()
        first = next(unpacked, b"")
        for magic, what in _FOREIGN.items():
            if first.startswith(magic):
                raise FileUnreadable(f"{self.path} is {what.partition(':')[0]}", fix=what.partition(": ")[2])
        encoding, mark = _encoding(first)
        if encoding == "utf-8":
            yield first[mark:]
            yield from unpacked
            return
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        yield decoder.decode(first[mark:]).encode()
        for piece in unpacked:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()

    def _unpacked(self) -> Iterator[bytes]:
        is_packed = self._raw.read(len(_GZIP)) == _GZIP
        self._raw.seek(0)
        stream = gzip.GzipFile(fileobj=self._raw) if is_packed else self._raw
        try:
            while piece := stream.read(PIECE):
                yield piece
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self.damage = f"the file cannot be unpacked any further: {error}"


class Reader(io.RawIOBase):
    """Pieces as a file, for what reads files."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        n = min(len(into), len(self._left))
        into[:n] = self._left[:n]
        self._left = self._left[n:]
        return n


def _encoding(first: bytes) -> tuple[str, int]:
    """The encoding and the length of its mark. Without a mark the zeros beside the first ASCII character tell."""
    for mark, name in _MARKS:
        if first.startswith(mark):
            return name, len(mark)
    if len(first) >= 4 and first[1] == first[3] == 0 and first[0] and first[2]:
        return "utf-16-le", 0
    if len(first) >= 4 and first[0] == first[2] == 0 and first[1] and first[3]:
        return "utf-16-be", 0
    return "utf-8", 0
