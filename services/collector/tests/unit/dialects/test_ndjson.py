"""Lines of JSON, however the bytes are cut."""

import pytest

from forge_collector.dialects.ndjson import LineParser


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_any_cut_in_two_gives_the_same_lines(newline: bytes) -> None:
    wire = newline.join([b'{"a":"\xc3\xa9"}', b"", b'{"b":2}', b"  ", b'{"c":3}'])

    for place in range(len(wire) + 1):
        parser = LineParser()
        lines = [*parser.feed(wire[:place]), *parser.feed(wire[place:]), *parser.finish()]
        assert [line.strip() for line in lines] == [b'{"a":"\xc3\xa9"}', b'{"b":2}', b'{"c":3}']


def test_a_line_of_megabytes_in_small_pieces_costs_no_more_than_its_length() -> None:
    parser = LineParser()
    for _ in range(20_000):
        assert parser.feed(b"x" * 1000) == []

    assert len(parser.feed(b"\n")[0]) == 20_000_000
