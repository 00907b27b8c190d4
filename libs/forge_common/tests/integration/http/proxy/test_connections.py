"""Keep-alive, pooling, pipelining, stale connections, shutdown."""

from __future__ import annotations

import asyncio
import random

import pytest

from forge_common.http.proxy import Limits

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"


async def test_one_upstream_connection_serves_many_requests_of_many_clients(bench):
    origin = await bench.answering(OK)
    proxy = await bench.proxy(origin)

    for _ in range(3):
        client = await bench.client(proxy)
        for _ in range(3):
            await client.send(POST)
            assert (await client.reply("POST")).body == b"ok"

    assert origin.connections == 1
    assert proxy.stats.upstream_reuses == 8


async def test_an_upstream_that_says_close_is_connected_to_anew(bench):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    origin = await bench.origin(handler)
    client = await bench.client(await bench.proxy(origin))

    for _ in range(2):
        await client.send(GET)
        assert (await client.reply()).body == b"ok"

    assert origin.connections == 2


async def test_pipelined_requests_are_answered_in_order(bench):
    """The first is slow, the later ones would be quicker."""

    async def handler(peer):
        while True:
            asked = await peer.request()
            number = int(asked.line.split(b"/")[1].split()[0])
            await asyncio.sleep(0.1 if number == 0 else 0)
            body = b"%d:" % number + asked.body
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    client = await bench.client(await bench.proxy(await bench.origin(handler)))
    await client.send(
        b"".join(
            b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d" % (number, number)
            for number in range(30)
        )
    )

    bodies = [(await client.reply("POST")).body for _ in range(30)]

    assert bodies == [b"%d:%02d" % (number, number) for number in range(30)]


async def test_pipelined_requests_survive_any_cut(bench):
    origin = await bench.answering(OK)
    client = await bench.client(await bench.proxy(origin))
    chunked = (
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )
    data = (POST + GET + chunked) * 5
    rnd = random.Random(3)

    while data:
        size = rnd.randint(1, 40)
        client.writer.write(data[:size])
        data = data[size:]
        await asyncio.sleep(0)
    for _ in range(15):
        assert (await client.reply("POST")).body == b"ok"

    assert [asked.body for asked in origin.asked] == [b"abc", b"", b"abc"] * 5


async def test_a_request_is_repeated_once_when_its_pooled_connection_had_been_closed(bench):
    """The upstream reads the second request's first byte and resets: the request never reached it."""

    async def handler(peer):
        first = origin.connections == 1
        origin.asked.append(await peer.request())
        await peer.send(OK)
        if first:
            await peer.reader.read(1)
            peer.writer.transport.abort()
            return
        while True:
            origin.asked.append(await peer.request())
            await peer.send(OK)

    origin = await bench.origin(handler)
    proxy = await bench.proxy(origin)
    client = await bench.client(proxy)

    for _ in range(2):
        await client.send(POST)
        assert (await client.reply("POST")).body == b"ok"

    assert proxy.stats.stale_retries == 1
    assert [asked.body for asked in origin.asked] == [b"abc", b"abc"]
    assert origin.connections == 2


async def test_a_request_on_a_fresh_connection_is_never_repeated(bench):
    async def handler(peer):
        origin.asked.append(await peer.request())

    origin = await bench.origin(handler)

    reply = await bench.ask(await bench.proxy(origin), POST, method="POST")

    assert reply.status == 502
    assert len(origin.asked) == 1


async def test_a_request_that_was_answered_in_part_is_never_repeated(bench):
    async def handler(peer):
        await peer.request()
        await peer.send(OK)
        origin.asked.append(await peer.request())
        await peer.send(b"HTTP/1.1 20")

    origin = await bench.origin(handler)
    client = await bench.client(await bench.proxy(origin))

    await client.send(POST)
    await client.reply("POST")
    await client.send(POST)
    reply = await client.reply("POST")

    assert reply.status == 502
    assert len(origin.asked) == 1


async def test_an_upstream_that_answers_before_it_has_read_the_request_is_not_asked_again(bench):
    """The rest of the first body would be read as the second request."""

    async def handler(peer):
        await peer.head()
        await peer.send(OK)
        await peer.closed()

    origin = await bench.origin(handler)
    proxy = await bench.proxy(origin)
    early = await bench.client(proxy)
    await early.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    first = await early.reply("POST")

    second = await bench.ask(proxy, GET)

    assert (first.body, first.get(b"connection")) == (b"ok", b"close")
    assert second.body == b"ok"
    assert origin.connections == 2


async def test_an_idle_upstream_connection_grows_old_and_is_closed(bench):
    seen = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(OK)
        assert await peer.closed()
        seen.set()

    proxy = await bench.proxy(await bench.origin(handler), limits=Limits(idle_upstream_s=0.1))
    await bench.ask(proxy, GET)

    await asyncio.wait_for(seen.wait(), 5)


async def test_an_idle_client_is_closed_after_its_keep_alive_time(bench):
    client = await bench.client(await bench.proxy(await bench.answering(OK), limits=Limits(keep_alive_s=0.1)))
    await client.send(GET)
    await client.reply()

    assert await client.rest() == b""


async def test_an_upstream_that_talks_unasked_is_not_believed_on_the_next_request(bench):
    talked = asyncio.Event()

    async def handler(peer):
        while True:
            await peer.request()
            await peer.send(OK)
            if origin.connections == 1:
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
                talked.set()

    origin = await bench.origin(handler)
    client = await bench.client(await bench.proxy(origin))
    await client.send(GET)
    await client.reply()
    await asyncio.wait_for(talked.wait(), 20)
    await asyncio.sleep(0.1)

    await client.send(GET)

    assert (await client.reply()).body == b"ok"
    assert origin.connections == 2


async def test_stopping_lets_a_running_reply_finish_and_closes_idle_clients(bench):
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def handler(peer):
        await peer.request()
        asked.set()
        await go_on.wait()
        await peer.send(OK)

    proxy = await bench.proxy(await bench.origin(handler))
    idle, busy = await bench.client(proxy), await bench.client(proxy)
    await busy.send(GET)
    await asked.wait()

    stopping = asyncio.ensure_future(proxy.stop(grace_s=5))
    assert await idle.rest() == b""
    go_on.set()
    reply = await busy.reply()
    await asyncio.wait_for(stopping, 5)

    assert (reply.body, reply.get(b"connection")) == (b"ok", b"close")
    with pytest.raises(ConnectionRefusedError):
        await bench.client(proxy)


async def test_stopping_cuts_what_does_not_finish_in_its_grace(bench):
    async def handler(peer):
        await peer.request()
        await peer.closed()

    proxy = await bench.proxy(await bench.origin(handler))
    client = await bench.client(proxy)
    await client.send(GET)
    await asyncio.sleep(0.05)

    await proxy.stop(grace_s=0.1)

    assert await client.rest() == b""
