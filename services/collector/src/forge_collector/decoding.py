"""Content encodings, undone in the captured copy only. The traffic keeps its own bytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import brotli
import zstandard

from forge_collector.dialects.dialect import Unreadable

Decode = Callable[[bytes], bytes]


def make_decoder(content_encoding: bytes | None) -> Decode | None:
    """A stateful decoder for bytes as they come, or None where there is nothing to undo. Raises Unreadable."""
    name = (content_encoding or b"identity").strip().lower()
    if name == b"identity":
        return None
    makers: dict[bytes, Callable[[], Decode]] = {
        b"gzip": lambda: zlib.decompressobj(31).decompress,
        b"x-gzip": lambda: zlib.decompressobj(31).decompress,
        # 47: zlib's own framing; what some servers call deflate is that, as RFC 9110 says.
        b"deflate": lambda: zlib.decompressobj(47).decompress,
        b"br": lambda: brotli.Decompressor().process,
        b"zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
    }
    if name not in makers:
        raise Unreadable(f"the content encoding {name.decode('latin-1')[:40]!r} is not known here")
    return _checked(makers[name]())


def _checked(decode: Decode) -> Decode:
    def checked(data: bytes) -> bytes:
        try:
            return decode(data)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Unreadable(f"the body does not decode: {error}") from error

    return checked
