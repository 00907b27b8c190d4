"""Content encodings in the captured copy: any cut, any nesting, and no bomb."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_collector.decoding import make_decoder
from forge_collector.dialects.dialect import Unreadable

TEXT = "naïve 😀 ".encode() * 3000
MB = 1024 * 1024


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def zstd(data: bytes) -> bytes:
    return bytes(zstandard.ZstdCompressor().compress(data))


ENCODERS: list[tuple[bytes, Callable[[bytes], bytes]]] = [
    (b"gzip", gzip.compress),
    (b" X-GZIP ", gzip.compress),
    (b"deflate", zlib.compress),
    (b"deflate", bare_deflate),
    (b"br", brotli.compress),
    (b"zstd", zstd),
    (b"gzip, br", lambda data: brotli.compress(gzip.compress(data))),
    (b"identity,zstd", zstd),
]


def decoded(name: bytes, wire: bytes, size: int, max_bytes: int = 16 * MB) -> bytes:
    decode = make_decoder(name, max_bytes)
    assert decode is not None
    return b"".join(decode(wire[i : i + size]) for i in range(0, len(wire), size))


@pytest.mark.parametrize(("name", "encode"), ENCODERS)
@pytest.mark.parametrize("size", [1, 2, 7, 1000, 10 * MB])
def test_pieces_of_any_size_decode_to_the_same(
    name: bytes, encode: Callable[[bytes], bytes], size: int
) -> None:
    assert decoded(name, encode(TEXT), size) == TEXT


@pytest.mark.parametrize(("name", "encode"), [ENCODERS[0], ENCODERS[5]])
@pytest.mark.parametrize("size", [1, 9, 10 * MB])
def test_several_members_in_a_row_are_one_body(
    name: bytes, encode: Callable[[bytes], bytes], size: int
) -> None:
    assert decoded(name, encode(b"one ") + encode(b"two"), size) == b"one two"


@pytest.mark.parametrize("name", [None, b"", b"identity", b"identity, identity"])
def test_where_nothing_was_encoded_there_is_nothing_to_undo(name: bytes | None) -> None:
    assert make_decoder(name) is None


@pytest.mark.parametrize(("name", "encode"), [ENCODERS[i] for i in (0, 2, 3, 4, 5)])
def test_a_bomb_is_given_up_before_it_fills_the_memory(name: bytes, encode: Callable[[bytes], bytes]) -> None:
    bomb = encode(bytes(96 * MB)) if name != b"br" else brotli.compress(bytes(96 * MB), quality=4)

    with pytest.raises(Unreadable, match="more than"):
        decoded(name, bomb, 10 * MB, max_bytes=8 * MB)


@pytest.mark.parametrize("name", [b"dcb", b"gzip, dcb", b", ".join([b"gzip"] * 5)])
def test_an_encoding_that_is_not_known_is_unreadable(name: bytes) -> None:
    with pytest.raises(Unreadable):
        make_decoder(name)


@settings(max_examples=150)
@given(
    name=st.sampled_from([b"gzip", b"deflate", b"br", b"zstd"]),
    wire=st.binary(max_size=200),
    size=st.integers(1, 50),
)
def test_no_bytes_raise_anything_but_unreadable(name: bytes, wire: bytes, size: int) -> None:
    try:
        decoded(name, wire, size)
    except Unreadable as error:
        assert error.message  # noqa: PT017  either outcome is fine, a third is not
