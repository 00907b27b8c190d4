"""What passes through the proxy is what was sent."""

from __future__ import annotations

import asyncio
import gzip
import random

import pytest

from forge_common.http.proxy import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_request_headers_keep_their_bytes_their_order_and_their_case(bench):
    origin = await bench.answering(OK)
    proxy = await bench.proxy(origin)
    sent = [
        (b"Authorization", b"Bearer sk-1"),
        (b"x-LOWER-Upper", b"v1"),
        (b"X-Empty", b""),
        (b"X-Latin", b"caf\xe9 \xc3\xa9"),
        (b"x-lower-upper", b"v2"),
        (b"Accept-Encoding", b"gzip, br"),
        (b"Content-Length", b"0"),
    ]
    lines = b"".join(b"%b: %b\r\n" % header for header in sent)

    await bench.ask(proxy, b"POST /a%20b?q=%2F&x HTTP/1.1\r\nHost: forge\r\n" + lines + b"\r\n")

    asked = origin.asked[0]
    assert asked.line == b"POST /a%20b?q=%2F&x HTTP/1.1"
    assert asked.headers == [(b"Host", b"127.0.0.1:%d" % origin.port), *sent]


async def test_reply_headers_and_reason_keep_their_bytes(bench):
    headers = b"X-One: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty:\r\nX-Latin: caf\xe9\r\n"
    origin = await bench.answering(b"HTTP/1.1 299 Quite Fine\r\n" + headers + b"Content-Length: 0\r\n\r\n")
    proxy = await bench.proxy(origin, response_headers=((b"x-forge-exchange", b"ex_1"),))

    reply = await bench.ask(proxy, GET)

    assert (reply.status, reply.reason) == (299, b"Quite Fine")
    assert reply.headers == [
        (b"X-One", b"1"),
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"X-Empty", b""),
        (b"X-Latin", b"caf\xe9"),
        (b"Content-Length", b"0"),
        (b"x-forge-exchange", b"ex_1"),
    ]


async def test_a_content_encoded_body_passes_as_it_is(bench):
    packed = gzip.compress(random.Random(1).randbytes(200_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    origin = await bench.answering(head + packed)
    proxy = await bench.proxy(origin)
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(
        packed
    )

    reply = await bench.ask(proxy, request + packed)

    assert origin.asked[0].body == packed
    assert reply.body == packed
    assert reply.get(b"content-encoding") == b"gzip"


async def test_hop_by_hop_headers_stay_behind_on_both_sides(bench):
    origin = await bench.answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\n"
        b"X-Private: 1\r\nX-Public: 2\r\n\r\nok"
    )
    proxy = await bench.proxy(origin)
    request = (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nX-Kept: 2\r\n"
        b"TE: trailers\r\nProxy-Authorization: Basic a\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\n\r\n"
    )

    reply = await bench.ask(proxy, request)

    assert origin.asked[0].headers[1:] == [(b"X-Kept", b"2")]
    assert reply.headers == [(b"Content-Length", b"2"), (b"X-Public", b"2")]


@pytest.mark.parametrize("size", [1, 7, 4096, 100_000])
async def test_chunked_bodies_are_framed_anew_with_the_same_bytes(bench, size):
    body = random.Random(size).randbytes(100_000 if size > 7 else 500)
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    framed = (
        b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        + b"0\r\nX-Trailer: 1\r\n\r\n"
    )
    origin = await bench.answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed)
    proxy = await bench.proxy(origin)

    reply = await bench.ask(
        proxy, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + framed
    )

    assert origin.asked[0].body == body
    assert reply.body == body
    assert reply.get(b"transfer-encoding") == b"chunked"


async def test_a_stream_reaches_the_client_event_by_event(bench):
    go_on = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\ndata1\r\n")
        await go_on.wait()
        await peer.send(b"5\r\ndata2\r\n0\r\n\r\n")

    proxy = await bench.proxy(await bench.origin(handler))
    client = await bench.client(proxy)
    await client.send(GET)

    first = await asyncio.wait_for(client.reader.readuntil(b"data1\r\n"), 5)
    go_on.set()
    second = await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), 5)

    assert b"data2" not in first
    assert second == b"5\r\ndata2\r\n0\r\n\r\n"


async def test_a_head_reply_has_its_length_and_no_body_and_the_connection_lives_on(bench):
    async def handler(peer):
        while True:
            asked = await peer.request()
            body = b"" if asked.line.startswith(b"HEAD") else b"12345"
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

    origin = await bench.origin(handler)
    client = await bench.client(await bench.proxy(origin))

    await client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await client.reply("HEAD")
    await client.send(GET)
    get = await client.reply()

    assert (head.get(b"content-length"), head.body) == (b"5", b"")
    assert get.body == b"12345"
    assert origin.connections == 1


@pytest.mark.parametrize(
    "bodyless",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: a\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_a_reply_without_body_ends_with_its_head(bench, bodyless):
    origin = await bench.answering(bodyless, OK)
    client = await bench.client(await bench.proxy(origin))

    await client.send(GET)
    first = await client.reply()
    await client.send(GET)
    second = await client.reply()

    assert first.status in (204, 304)
    assert first.body == b""
    assert first.get(b"transfer-encoding") is None
    assert second.body == b"ok"


async def test_an_http_1_0_client_gets_an_unchunked_reply_that_ends_with_the_connection(bench):
    origin = await bench.answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    client = await bench.client(await bench.proxy(origin))

    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    received = await client.rest()

    assert received == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    assert origin.asked[0].line == b"GET / HTTP/1.1"


async def test_an_http_1_0_client_may_ask_to_keep_its_connection(bench):
    client = await bench.client(await bench.proxy(await bench.answering(OK)))

    for _ in range(2):
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        received = await asyncio.wait_for(client.reader.readuntil(b"ok"), 5)
        assert b"Connection: keep-alive\r\n" in received


async def test_a_reply_that_ends_with_the_upstream_connection_becomes_chunked(bench):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.0 200 OK\r\n\r\n", b"abc", b"def")

    reply = await bench.ask(await bench.proxy(await bench.origin(handler)), GET)

    assert reply.body == b"abcdef"
    assert reply.get(b"transfer-encoding") == b"chunked"


async def test_the_upstreams_path_prefix_and_host_are_used(bench):
    origin = await bench.answering(OK)
    upstream = Upstream.parse(f"http://localhost:{origin.port}/api/openai/")

    await bench.ask(
        await bench.proxy(upstream), b"GET /v1/models?a=b HTTP/1.1\r\nHost: forge.example\r\n\r\n"
    )

    assert origin.asked[0].line == b"GET /api/openai/v1/models?a=b HTTP/1.1"
    assert origin.asked[0].get(b"host") == b"localhost:%d" % origin.port


async def test_an_absolute_target_is_sent_on_in_origin_form(bench):
    origin = await bench.answering(OK)

    await bench.ask(
        await bench.proxy(origin), b"GET http://elsewhere/v1/x?y HTTP/1.1\r\nHost: elsewhere\r\n\r\n"
    )

    assert origin.asked[0].line == b"GET /v1/x?y HTTP/1.1"


async def test_expect_100_continue_is_the_upstreams_to_answer(bench):
    async def handler(peer):
        asked = await peer.head()
        assert asked.get(b"expect") == b"100-continue"
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await peer.reader.readexactly(3)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)

    client = await bench.client(await bench.proxy(await bench.origin(handler)))
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")

    assert await client.interim() == 100
    await client.send(b"abc")
    assert (await client.reply()).body == b"abc"


async def test_an_upstream_that_declines_an_expected_body_is_heard_before_the_body(bench):
    async def handler(peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        await peer.closed()

    client = await bench.client(await bench.proxy(await bench.origin(handler)))
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    reply = await client.reply()

    assert (reply.status, reply.body) == (401, b"no")
    assert reply.get(b"connection") == b"close"
    assert await client.rest() == b""


async def test_early_hints_pass(bench):
    origin = await bench.answering(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    client = await bench.client(await bench.proxy(origin))
    await client.send(GET)

    raw = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)

    assert raw == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert (await client.reply()).body == b"ok"


async def test_a_request_that_offers_http_2_is_served_by_http_1_with_its_body(bench):
    origin = await bench.answering(OK)
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    post = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" + offer + b"\r\nabc"
    client = await bench.client(await bench.proxy(origin))

    await client.send(post + post)
    replies = [await client.reply("POST"), await client.reply("POST")]

    assert [reply.body for reply in replies] == [b"ok", b"ok"]
    assert [asked.body for asked in origin.asked] == [b"abc", b"abc"]
    assert origin.asked[0].get(b"upgrade") is None


@pytest.mark.parametrize("seed", range(8))
async def test_how_the_bytes_are_cut_into_segments_changes_nothing(bench, seed):
    """SSE with multi-byte characters and CRLF, cut anywhere, on both sides."""
    rnd = random.Random(seed)
    events = "".join(f'data: {{"t":"{i} ü 漢字 🙂"}}\r\n\r\n' for i in range(20)).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start in range(0, len(events), 61):
        piece = events[start : start + 61]
        reply += b"%x\r\n%b\r\n" % (len(piece), piece)
    reply += b"0\r\n\r\n"
    request = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(events) + events

    def cut(data):
        points = sorted(rnd.sample(range(1, len(data)), 25))
        return [data[a:b] for a, b in zip([0, *points], [*points, len(data)], strict=True)]

    async def handler(peer):
        while True:
            origin.asked.append(await peer.request())
            for piece in cut(reply):
                peer.writer.write(piece)
                await asyncio.sleep(0)

    origin = await bench.origin(handler)
    client = await bench.client(await bench.proxy(origin))
    for _ in range(2):
        for piece in cut(request):
            client.writer.write(piece)
            await asyncio.sleep(0)
        assert (await client.reply("POST")).body == events

    assert [asked.body for asked in origin.asked] == [events, events]
