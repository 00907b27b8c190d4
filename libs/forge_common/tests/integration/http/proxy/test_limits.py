"""What is too large, too slow or ambiguous is refused, with a reason, and does no harm to what came before it."""

from __future__ import annotations

import asyncio
import json

import pytest

from forge_common.http.proxy import Limits

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def code_of(reply):
    return json.loads(reply.body)["error"]["code"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET no-slash HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
    ],
)
async def test_a_request_that_two_servers_might_read_differently_is_refused(bench, request_bytes):
    origin = await bench.answering(OK)
    proxy = await bench.proxy(origin)
    client = await bench.client(proxy)

    await client.send(request_bytes)
    reply = await client.reply()

    assert reply.status in (400, 501)
    assert reply.get(b"connection") == b"close"
    assert await client.rest() == b""
    assert origin.asked == []


async def test_a_smuggled_second_request_is_not_answered(bench):
    origin = await bench.answering(OK)
    client = await bench.client(await bench.proxy(origin))
    smuggled = b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"

    await client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + smuggled
    )
    received = await client.rest()

    assert received.count(b"HTTP/1.1 ") == 1
    assert origin.asked == []


async def test_good_requests_before_a_bad_one_are_answered_first(bench):
    origin = await bench.answering(OK)
    client = await bench.client(await bench.proxy(origin))

    await client.send(GET + GET + b"nonsense\r\n\r\n" + GET)

    assert [(await client.reply()).status for _ in range(3)] == [200, 200, 400]
    assert await client.rest() == b""
    assert len(origin.asked) == 2


async def test_connect_and_other_versions_are_refused(bench):
    proxy = await bench.proxy(await bench.answering(OK))

    connect = await bench.ask(proxy, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n")
    http_2 = await bench.ask(proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    version = await bench.ask(proxy, b"GET / HTTP/2.0\r\nHost: x\r\n\r\n")

    assert (connect.status, http_2.status, version.status) == (501, 400, 505)


@pytest.mark.parametrize("pieces", [1, 50])
async def test_a_head_that_is_too_large_is_a_431(bench, pieces):
    origin = await bench.answering(OK)
    proxy = await bench.proxy(origin, limits=Limits(head_bytes=2000))
    data = (
        b"GET / HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 90) for i in range(40))
        + b"\r\n"
    )
    step = len(data) // pieces

    reply = await bench.ask(proxy, *(data[i : i + step] for i in range(0, len(data), step)))

    assert (reply.status, code_of(reply)) == (431, "head_too_large")
    assert origin.asked == []


async def test_a_head_without_end_is_cut_at_the_limit(bench):
    proxy = await bench.proxy(await bench.answering(OK), limits=Limits(head_bytes=2000))
    client = await bench.client(proxy)

    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ", *[b"y" * 500] * 6)

    assert (await client.reply()).status == 431


async def test_many_small_requests_on_one_connection_are_not_one_large_head(bench):
    client = await bench.client(await bench.proxy(await bench.answering(OK), limits=Limits(head_bytes=200)))

    for _ in range(20):
        await client.send(GET)
        assert (await client.reply()).status == 200


async def test_a_target_that_is_too_long_is_a_414(bench):
    proxy = await bench.proxy(await bench.answering(OK))

    reply = await bench.ask(proxy, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    assert reply.status == 414


async def test_a_body_announced_too_large_is_a_413_before_it_is_sent(bench):
    origin = await bench.answering(OK)
    proxy = await bench.proxy(origin, limits=Limits(body_bytes=1000))

    reply = await bench.ask(proxy, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")

    assert (reply.status, code_of(reply)) == (413, "request_too_large")
    assert origin.connections == 0


async def test_a_chunked_body_that_grows_too_large_is_a_413(bench):
    tap = bench.RecordingTap()
    left = asyncio.Event()

    async def handler(peer):
        await peer.head()
        if await peer.closed():
            left.set()

    proxy = await bench.proxy(await bench.origin(handler), limits=Limits(body_bytes=1000), tap=tap)
    chunk = b"190\r\n" + b"x" * 400 + b"\r\n"

    reply = await bench.ask(
        proxy, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, chunk, chunk
    )

    assert (reply.status, code_of(reply)) == (413, "request_too_large")
    await asyncio.wait_for(left.wait(), 5)
    assert tap.end == ("abort", "request_too_large")


async def test_broken_chunk_framing_is_a_400_and_cancels_the_upstream(bench):
    left = asyncio.Event()

    async def handler(peer):
        await peer.head()
        if await peer.closed():
            left.set()

    proxy = await bench.proxy(await bench.origin(handler))

    reply = await bench.ask(
        proxy, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\nabc\r\n"
    )

    assert reply.status == 400
    await asyncio.wait_for(left.wait(), 5)


async def test_a_head_that_never_ends_is_cut_after_its_time(bench):
    client = await bench.client(await bench.proxy(await bench.answering(OK), limits=Limits(head_s=0.2)))
    await client.send(b"GET / HTTP/1.1\r\nHos")

    assert await client.rest() == b""


async def test_trickling_a_head_does_not_extend_its_time(bench):
    client = await bench.client(await bench.proxy(await bench.answering(OK), limits=Limits(head_s=0.3)))
    await client.send(b"GET / HTTP/1.1\r\n")

    async def trickle():
        while True:
            await client.send(b"X: y\r\n")
            await asyncio.sleep(0.05)

    trickling = asyncio.ensure_future(trickle())
    assert await asyncio.wait_for(client.rest(), 20) == b""
    trickling.cancel()


async def test_a_body_that_stops_coming_is_a_408(bench):
    proxy = await bench.proxy(await bench.answering(OK), limits=Limits(body_idle_s=0.2))

    reply = await bench.ask(proxy, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")

    assert (reply.status, code_of(reply)) == (408, "request_timeout")


async def test_a_large_refused_upload_can_still_read_its_refusal(bench):
    """The client sends all of it before it reads: without lingering, the reset would destroy the reply."""
    proxy = await bench.proxy(await bench.answering(OK), limits=Limits(body_bytes=1000))
    client = await bench.client(proxy)
    size = 3 * 1024 * 1024

    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size)

    assert (await client.reply("POST")).status == 413
