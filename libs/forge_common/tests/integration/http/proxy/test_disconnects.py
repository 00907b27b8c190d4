"""Whoever goes away is noticed on the other side: the upstream stops working, the client never sees a false clean end."""

from __future__ import annotations

import asyncio
import socket

import h11
import pytest

from forge_common.http.proxy import AbortReason, Limits, Refuse, Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


class Watched:
    """An upstream that sends `replies`, then says whether the proxy has left it."""

    def __init__(self, bench, *replies):
        self.bench = bench
        self.replies = replies
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def start(self):
        async def handler(peer):
            await peer.request()
            await peer.send(*self.replies)
            self.asked.set()
            if await peer.closed():
                self.left.set()

        return await self.bench.origin(handler)


@pytest.mark.parametrize("leave", ["close", "abort"])
@pytest.mark.parametrize(
    ("window", "replies"),
    [
        ("before the first byte", ()),
        ("in the middle of a stream", (STREAM,)),
        (
            "in the middle of a reply with a length",
            (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"abc"),
        ),
    ],
)
async def test_a_client_that_leaves_cancels_the_upstream(bench, window, replies, leave):
    watched = Watched(bench, *replies)
    tap = bench.RecordingTap()
    proxy = await bench.proxy(await watched.start(), tap=tap)
    client = await bench.client(proxy)
    await client.send(POST)
    await watched.asked.wait()

    getattr(client, leave)()

    await asyncio.wait_for(watched.left.wait(), 5)
    assert tap.end == ("abort", AbortReason.CLIENT_GONE), window
    assert proxy.stats.aborts == {AbortReason.CLIENT_GONE: 1}


async def test_a_client_that_leaves_while_the_upstream_is_being_connected_cancels_that(bench):
    tap = bench.RecordingTap()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # With a full backlog the kernel answers no further attempt, so that it hangs.
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        proxy = await bench.proxy(Upstream("http", *full.getsockname()), tap=tap, limits=Limits(connect_s=30))
        client = await bench.client(proxy)
        await client.send(POST)
        await bench.until(lambda: [call[0] for call in tap.calls] == ["request_head", "request_body"])

        client.abort()

        await asyncio.wait_for(tap.ended.wait(), 5)
        for sock in waiting:
            sock.close()
    assert tap.end == ("abort", AbortReason.CLIENT_GONE)


async def test_a_client_that_leaves_in_the_middle_of_its_upload_cancels_the_upstream(bench):
    begun, left = asyncio.Event(), asyncio.Event()

    async def handler(peer):
        await peer.head()
        assert await peer.reader.readexactly(3) == b"abc"
        begun.set()
        if await peer.closed():
            left.set()

    client = await bench.client(await bench.proxy(await bench.origin(handler)))
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    await asyncio.wait_for(begun.wait(), 20)

    client.close()

    await asyncio.wait_for(left.wait(), 5)


async def test_a_client_that_leaves_a_pipeline_cancels_all_of_it(bench):
    watched = Watched(bench, STREAM)
    origin = await watched.start()
    client = await bench.client(await bench.proxy(origin))
    await client.send(GET)
    await watched.asked.wait()

    client.abort()

    await asyncio.wait_for(watched.left.wait(), 5)
    assert origin.connections == 1


@pytest.mark.parametrize(
    "reply",
    [STREAM, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"],
    ids=["chunked", "with a length"],
)
async def test_an_upstream_that_dies_in_its_reply_ends_the_client_connection_unfinished(bench, reply):
    async def handler(peer):
        await peer.request()
        await peer.send(reply)
        peer.writer.transport.abort()

    tap = bench.RecordingTap()
    client = await bench.client(await bench.proxy(await bench.origin(handler), tap=tap))
    await client.send(GET)

    with pytest.raises(h11.RemoteProtocolError):
        await client.reply()

    assert tap.joined("response_body") == b"abc"
    assert tap.end == ("abort", AbortReason.UPSTREAM_DIED)


async def test_an_upstream_that_dies_in_its_reply_resets_a_client_that_would_take_the_end_for_clean(bench):
    async def handler(peer):
        await peer.request()
        await peer.send(STREAM)
        peer.writer.transport.abort()

    client = await bench.client(await bench.proxy(await bench.origin(handler)))
    await client.send(b"GET / HTTP/1.0\r\n\r\n")

    with pytest.raises(ConnectionResetError):
        while await asyncio.wait_for(client.reader.read(100), 5):
            pass


async def test_an_upstream_that_dies_without_an_answer_is_a_502_in_the_callers_dialect(bench):
    async def handler(peer):
        await peer.request()

    reply = await bench.ask(await bench.proxy(await bench.origin(handler)), POST, method="POST")

    assert reply.status == 502
    assert b'"code":"upstream_died"' in reply.body


async def test_an_upstream_that_cannot_be_reached_is_a_502_and_the_client_connection_lives_on(bench):
    proxy = await bench.proxy(Upstream("http", "127.0.0.1", 9))
    client = await bench.client(proxy)

    for _ in range(2):
        await client.send(POST)
        reply = await client.reply("POST")
        assert reply.status == 502
        assert b'"code":"upstream_unreachable"' in reply.body


async def test_the_route_may_say_what_an_unreachable_upstream_means(bench):
    refusal = Refuse(503, b'{"error":"start it"}', headers=((b"Retry-After", b"5"),))
    proxy = await bench.proxy(Upstream("http", "127.0.0.1", 9), unreachable=refusal)

    reply = await bench.ask(proxy, GET)

    assert (reply.status, reply.body, reply.get(b"retry-after")) == (503, b'{"error":"start it"}', b"5")


async def test_a_name_that_does_not_resolve_is_a_502(bench):
    proxy = await bench.proxy(Upstream("http", "no-such-host.invalid", 80))

    assert (await bench.ask(proxy, GET)).status == 502


@pytest.mark.parametrize(
    "nonsense",
    [
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    ],
)
async def test_an_upstream_that_does_not_speak_http_is_a_502(bench, nonsense):
    reply = await bench.ask(await bench.proxy(await bench.answering(nonsense)), GET)

    assert reply.status == 502
    assert b"upstream_invalid" in reply.body


async def test_an_upstream_that_is_silent_too_long_is_a_504(bench):
    watched = Watched(bench)
    proxy = await bench.proxy(await watched.start(), limits=Limits(first_byte_s=0.2))

    reply = await bench.ask(proxy, GET)

    assert reply.status == 504
    await asyncio.wait_for(watched.left.wait(), 5)


async def test_an_upstream_that_stops_in_the_middle_too_long_is_cut(bench):
    watched = Watched(bench, STREAM)
    proxy = await bench.proxy(await watched.start(), limits=Limits(between_bytes_s=0.2))

    with pytest.raises(h11.RemoteProtocolError):
        await bench.ask(proxy, GET)

    await asyncio.wait_for(watched.left.wait(), 5)


async def test_a_slow_stream_is_not_taken_for_a_silent_one(bench):
    async def handler(peer):
        await peer.request()
        await peer.send(STREAM)
        for _ in range(6):
            await asyncio.sleep(0.3)
            await peer.send(b"1\r\nx\r\n")
        await peer.send(b"0\r\n\r\n")

    proxy = await bench.proxy(await bench.origin(handler), limits=Limits(between_bytes_s=1.5))

    assert (await bench.ask(proxy, GET)).body == b"abcxxxxxx"
