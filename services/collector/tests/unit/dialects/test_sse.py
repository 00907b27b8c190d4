"""The parser must not care how the bytes are cut or which line ends a server uses."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_collector.dialects.sse import EventParser

STREAM = 'data: {"a":"é€😀"}\n\ndata:{"b":2}\n\n: comment\nevent: x\ndata: one\ndata: two\n\ndata: [DONE]\n\n'.encode()
EVENTS = ['{"a":"é€😀"}'.encode(), b'{"b":2}', b"one\ntwo", b"[DONE]"]


def parse(pieces: list[bytes]) -> list[bytes]:
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(borders)]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@given(places=st.lists(st.integers(0, 10_000), max_size=40))
def test_any_split_with_any_line_end_gives_the_same_events(newline: bytes, places: list[int]) -> None:
    stream = STREAM.replace(b"\n", newline)

    assert parse(cut(stream, places)) == EVENTS


def test_several_events_in_one_chunk_all_come() -> None:
    assert parse([STREAM]) == EVENTS


def test_a_last_event_without_its_empty_line_is_given_at_the_end() -> None:
    assert parse([b"data: a\n\ndata: b"]) == [b"a", b"b"]


def test_a_byte_order_mark_is_not_part_of_the_first_field() -> None:
    assert parse([b"\xef\xbb", b"\xbfdata: a\n\n"]) == [b"a"]


def test_a_space_after_the_first_one_belongs_to_the_data() -> None:
    assert parse([b"data:  a\n\n"]) == [b" a"]


def test_a_line_of_megabytes_in_small_pieces_costs_no_more_than_its_length() -> None:
    parser = EventParser()
    for piece in [b"data: ", *[b"x" * 1000] * 20_000]:
        assert parser.feed(piece) == []

    assert len(parser.feed(b"\n\n")[0]) == 20_000_000
