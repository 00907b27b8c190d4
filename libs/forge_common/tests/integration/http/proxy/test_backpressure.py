"""Whoever is slow is waited for: nothing piles up in the proxy."""

from __future__ import annotations

import asyncio
import socket

import pytest

from forge_common.http.proxy import Limits

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PIECE = b"x" * 65536
# Both kernels' socket buffers on both connections, and the proxy's own; far below what is on offer.
ROOM_BYTES = 24 * 1024 * 1024
OFFER_BYTES = 200 * 1024 * 1024


def narrow(sock: socket.socket) -> socket.socket:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.setblocking(False)
    return sock


async def settled(count):
    """The value of `count()` once it no longer grows."""
    last = -1
    while count() != last:
        last = count()
        await asyncio.sleep(0.4)
    return last


@pytest.mark.parametrize("framing", [b"Content-Length: %d" % OFFER_BYTES, b"Transfer-Encoding: chunked"])
async def test_a_client_that_does_not_read_stops_the_upstream_from_sending(bench, framing):
    sent = 0
    chunked = b"chunked" in framing

    async def handler(peer):
        nonlocal sent
        await peer.request()
        peer.writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        while sent < OFFER_BYTES:
            peer.writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            await peer.writer.drain()
            sent += len(PIECE)
        if chunked:
            await peer.send(b"0\r\n\r\n")

    proxy = await bench.proxy(await bench.origin(handler))
    sock = narrow(socket.socket())
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", proxy.port))
    await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    stuck_at = await settled(lambda: sent)
    received = 0
    while received < OFFER_BYTES:
        received += len(await loop.sock_recv(sock, 1 << 20))
    sock.close()

    assert stuck_at < ROOM_BYTES
    assert sent == OFFER_BYTES


async def test_an_upstream_that_does_not_read_stops_the_client_from_sending(bench):
    go_on = asyncio.Event()
    sent = 0

    async def handler(peer):
        await peer.head()
        await go_on.wait()
        left = OFFER_BYTES
        while left:
            left -= len(await peer.reader.read(1 << 20))
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    proxy = await bench.proxy(await bench.origin(handler, limit=65536))
    client = await bench.client(proxy)

    async def upload():
        nonlocal sent
        while sent < OFFER_BYTES:
            client.writer.write(PIECE)
            await client.writer.drain()
            sent += len(PIECE)

    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % OFFER_BYTES)
    uploading = asyncio.ensure_future(upload())
    stuck_at = await settled(lambda: sent)
    go_on.set()
    await uploading
    reply = await client.reply("POST")

    assert stuck_at < ROOM_BYTES
    assert reply.body == b"ok"


async def test_a_client_that_never_reads_is_cut_after_its_time(bench):
    left = asyncio.Event()

    async def handler(peer):
        await peer.request()
        peer.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                peer.writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
                await peer.writer.drain()
        finally:
            left.set()

    proxy = await bench.proxy(await bench.origin(handler), limits=Limits(client_stall_s=0.3))
    client = await bench.client(proxy)
    client.reader._limit = 1024
    client.writer.transport.pause_reading()

    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    await asyncio.wait_for(left.wait(), 20)


async def test_the_next_pipelined_reply_waits_for_a_slow_reader_too(bench):
    sent = 0
    size = 8 * 1024 * 1024

    async def handler(peer):
        nonlocal sent
        while True:
            await peer.request()
            peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(PIECE)):
                peer.writer.write(PIECE)
                await peer.writer.drain()
                sent += len(PIECE)

    proxy = await bench.proxy(await bench.origin(handler))
    sock = narrow(socket.socket())
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", proxy.port))
    await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)

    stuck_at = await settled(lambda: sent)
    received = 0
    while received < 20 * size:
        received += len(await loop.sock_recv(sock, 1 << 20))
    sock.close()

    assert stuck_at < ROOM_BYTES
    assert sent == 20 * size


async def test_a_client_that_pipelines_without_end_is_not_read_ahead_of_its_replies(bench):
    go_on = asyncio.Event()
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n" + PIECE
    sent = 0

    async def handler(peer):
        while True:
            await peer.request()
            await go_on.wait()
            peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    proxy = await bench.proxy(await bench.origin(handler, limit=1 << 20))
    client = await bench.client(proxy)

    async def pipeline():
        nonlocal sent
        for _ in range(1000):
            client.writer.write(request)
            await client.writer.drain()
            sent += len(request)

    pipelining = asyncio.ensure_future(pipeline())
    stuck_at = await settled(lambda: sent)
    go_on.set()
    replies = [(await client.reply("POST")).body for _ in range(1000)]
    await pipelining

    assert stuck_at < ROOM_BYTES
    assert replies == [b"ok"] * 1000
