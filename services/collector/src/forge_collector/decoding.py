"""Content encodings, undone in the captured copy only. The traffic keeps its own bytes.

It refuses to make more than a given size of a few bytes: what was small on the wire must not fill the memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli
import zstandard

from forge_collector.dialects.dialect import Unreadable

Decode = Callable[[bytes], bytes]

# Of one call of a decompressor.
_PORTION = 4 * 1024 * 1024
# So little may hold blocks of 16 MB already; zstandard has no way to ask for less at once.
_SIP = 512
_MOST_ENCODINGS = 4


class Decoder(Protocol):
    def portions(self, data: bytes) -> Iterator[bytes]:
        """What `data` decodes to, in portions of bounded size."""
        ...


def make_decoder(content_encoding: bytes | None, max_bytes: int = 256 * 1024 * 1024) -> Decode | None:
    """A stateful decoder for bytes as they come, or None where there is nothing to undo. Raises Unreadable."""
    names = [name.strip().lower() for name in (content_encoding or b"").split(b",")]
    # They were applied in the order of the header.
    names = [name for name in reversed(names) if name not in (b"", b"identity")]
    if not names:
        return None
    if len(names) > _MOST_ENCODINGS:
        raise Unreadable(f"the body is encoded {len(names)} times over")
    return _chained([_bounded(_decoder(name), max_bytes) for name in names])


def _decoder(name: bytes) -> Decoder:
    if name in (b"gzip", b"x-gzip"):
        return _Gzip()
    if name == b"deflate":
        return _Deflate()
    if name == b"br":
        return _Brotli()
    if name == b"zstd":
        return _Zstd()
    raise Unreadable(f"the content encoding {name.decode('latin-1')[:40]!r} is not known here")


class _Gzip:
    """Of one member or several."""

    window_bits = 31

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(self.window_bits)

    def portions(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield self._inflate.decompress(data, _PORTION)
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data = self._inflate.unused_data
                self._inflate = zlib.decompressobj(self.window_bits)


class _Deflate(_Gzip):
    """With the two bytes of zlib's header, as RFC 9110 asks for, or without, as some servers send it."""

    window_bits = 15

    def __init__(self) -> None:
        super().__init__()
        self._start: bytes | None = b""

    def portions(self, data: bytes) -> Iterator[bytes]:
        if self._start is not None:
            data = self._start + data
            self._start = data if len(data) < 2 else None
            if self._start is not None:
                return
            if data[0] & 15 != zlib.DEFLATED or int.from_bytes(data[:2], "big") % 31:
                self.window_bits = -15
                self._inflate = zlib.decompressobj(self.window_bits)
        yield from super().portions(data)


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def portions(self, data: bytes) -> Iterator[bytes]:
        yield self._decompressor.process(data, output_buffer_limit=_PORTION)
        while not self._decompressor.can_accept_more_data():
            yield self._decompressor.process(b"", output_buffer_limit=_PORTION)


class _Zstd:
    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def portions(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SIP):
            yield self._decompressor.decompress(data[start : start + _SIP])


def _bounded(decoder: Decoder, max_bytes: int) -> Decode:
    size = 0

    def decode(data: bytes) -> bytes:
        nonlocal size
        portions = []
        try:
            for portion in decoder.portions(data):
                size += len(portion)
                if size > max_bytes:
                    raise Unreadable(f"the body decodes to more than {max_bytes} bytes")
                portions.append(portion)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Unreadable(f"the body does not decode: {error}") from error
        return b"".join(portions)

    return decode


def _chained(decoders: list[Decode]) -> Decode:
    def decode(data: bytes) -> bytes:
        for each in decoders:
            data = each(data)
        return data

    return decode if len(decoders) > 1 else decoders[0]
