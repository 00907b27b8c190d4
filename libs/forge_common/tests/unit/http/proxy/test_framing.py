from __future__ import annotations

import pytest

from forge_common.http.proxy.framing import (
    chunk,
    header_lines,
    request_block,
    request_drops,
    response_block,
    response_drops,
    status_line,
)


def test_a_request_block_sets_the_host_and_keeps_the_rest():
    headers = [
        (b"HOST", b"other"),
        (b"X-a", b"1"),
        (b"Upgrade", b"h2c"),
        (b"Content-Length", b"3"),
        (b"Via", b"z"),
    ]

    block = request_block(
        "POST", b"/p?q", b"up:1", headers, drops=request_drops(None, reframed=False), framing=b""
    )

    assert block == b"POST /p?q HTTP/1.1\r\nHost: up:1\r\nX-a: 1\r\nContent-Length: 3\r\nVia: z\r\n\r\n"


def test_a_new_body_makes_the_old_length_and_expectation_void():
    headers = [(b"Content-Length", b"3"), (b"Expect", b"100-continue"), (b"X", b"1")]

    block = request_block(
        "POST",
        b"/",
        b"u",
        headers,
        drops=request_drops(None, reframed=True),
        framing=b"Content-Length: 9\r\n",
    )

    assert block == b"POST / HTTP/1.1\r\nHost: u\r\nX: 1\r\nContent-Length: 9\r\n\r\n"


def test_headers_that_connection_names_are_dropped():
    drops = request_drops(b"close, X-One ,x-two", reframed=False)

    assert {b"x-one", b"x-two", b"close"} <= drops
    assert response_drops(b"X-One") >= {b"x-one", b"transfer-encoding"}


@pytest.mark.parametrize("name", [b"Content-Length", b"host", b"Content-Type", b"content-encoding"])
def test_connection_cannot_strip_what_the_meaning_depends_on(name):
    assert name.lower() not in response_drops(name)


def test_the_upstreams_reason_is_kept_and_an_unknown_status_has_a_line():
    assert status_line(200, b"Fine") == b"HTTP/1.1 200 Fine\r\n"
    assert status_line(200, b"") == b"HTTP/1.1 200 \r\n"
    assert status_line(404, None) == b"HTTP/1.1 404 Not Found\r\n"
    assert status_line(299, None) == b"HTTP/1.1 299 Unknown\r\n"


def test_a_response_block_ends_with_what_was_added():
    block = response_block(
        204, None, [(b"A", b""), (b"Keep-Alive", b"5")], drops=response_drops(None), added=b"B: c\r\n"
    )

    assert block == b"HTTP/1.1 204 No Content\r\nA: \r\nB: c\r\n\r\n"


@pytest.mark.parametrize("bad", [b"a\r\nX: y", b"a\nb", b"a\rb", b"\r\n"])
def test_a_line_break_in_a_header_is_refused(bad):
    with pytest.raises(ValueError, match="line break"):
        header_lines([(b"X", bad)])
    with pytest.raises(ValueError, match="line break"):
        header_lines([(bad, b"v")])


def test_no_headers_are_no_lines():
    assert header_lines([]) == b""


def test_a_chunk_has_its_length_in_hexadecimal():
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
