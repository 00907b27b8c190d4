"""Who watches sees everything in time, and can do no harm."""

from __future__ import annotations

import asyncio
import socket

import pytest

from forge_common.http.proxy import Forward

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

POST = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"


async def test_a_tap_is_told_everything_in_order(bench):
    tap = bench.RecordingTap()

    await bench.ask(await bench.proxy(await bench.answering(OK), tap=tap), POST, method="POST")

    assert tap.calls == [
        ("request_head", "POST", b"/v1/x"),
        ("request_body", b"abc"),
        ("response_head", 200, [(b"Content-Length", b"2"), (b"X-A", b"b")]),
        ("response_body", b"ok"),
        ("before_last_byte",),
    ]


@pytest.mark.parametrize(
    ("reply", "last"),
    [
        (OK, b"k"),
        (CHUNKED, b"0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\r\n\r\n"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"\r\n\r\n"),
    ],
    ids=["with a length", "chunked", "empty", "without body"],
)
async def test_the_last_byte_has_not_left_when_the_tap_is_told_so(bench, reply, last):
    """The tap itself looks into the client's socket: whatever has been written by then would lie there."""
    seen = []
    client = socket.socket()

    class Peeking(bench.RecordingTap):
        def before_last_byte(self):
            super().before_last_byte()
            try:
                seen.append(client.recv(65536, socket.MSG_PEEK))
            except BlockingIOError:
                seen.append(b"")

    tap = Peeking()
    proxy = await bench.proxy(await bench.answering(reply), tap=tap)
    loop = asyncio.get_running_loop()
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", proxy.port))
    await loop.sock_sendall(client, POST)
    await asyncio.wait_for(tap.ended.wait(), 5)
    received = b""
    while not received.endswith(last):
        received += await asyncio.wait_for(loop.sock_recv(client, 65536), 5)
    client.close()

    assert len(seen) == 1
    assert len(seen[0]) < len(received)


@pytest.mark.parametrize(
    "pieces", [(b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"), (b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n",)]
)
async def test_each_piece_is_shown_before_it_is_written(bench, pieces):
    client = None
    early = []

    class Peeking(bench.RecordingTap):
        def on_response_body(self, data):
            super().on_response_body(data)
            early.append(data in bytes(client.reader._buffer))

    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *pieces)

    proxy = await bench.proxy(await bench.origin(handler), tap=Peeking())
    client = await bench.client(proxy)
    await client.send(POST)
    reply = await client.reply("POST")

    assert reply.body == b"ab"
    assert early == [False, False]


METHODS = (
    "on_request_head",
    "on_request_body",
    "on_response_head",
    "on_response_body",
    "before_last_byte",
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reply", [OK, CHUNKED], ids=["with a length", "chunked"])
async def test_a_tap_that_raises_harms_nothing_and_is_counted(bench, method, reply):
    tap = bench.RecordingTap()

    def fail(*_):
        tap.calls.append(("failed",))
        raise RuntimeError("a bug in the capture")

    setattr(tap, method, fail)
    origin = await bench.answering(reply)
    proxy = await bench.proxy(lambda head: Forward(upstream=origin.upstream, target=head.target, tap=tap))
    client = await bench.client(proxy)

    await client.send(POST)
    answer = await client.reply("POST")

    assert answer.body == b"ok"
    assert origin.asked[0].body == b"abc"
    assert proxy.stats.tap_failures == 1
    assert tap.calls[-1] == ("failed",), "it is not called again"


async def test_a_tap_that_raises_when_told_of_an_abort_is_counted(bench):
    tap = bench.RecordingTap()

    def fail(_):
        raise RuntimeError("a bug in the capture")

    tap.on_abort = fail

    async def handler(peer):
        await peer.request()

    proxy = await bench.proxy(await bench.origin(handler), tap=tap)

    assert (await bench.ask(proxy, POST, method="POST")).status == 502
    assert proxy.stats.tap_failures == 1


async def test_an_exchange_ends_for_its_tap_exactly_once(bench):
    """The client leaves in the very moment when the reply is whole."""
    taps = []

    def route(head):
        taps.append(bench.RecordingTap())
        return Forward(upstream=origin.upstream, target=head.target, tap=taps[-1])

    origin = await bench.answering(CHUNKED)
    proxy = await bench.proxy(route)
    for delay in range(12):
        client = await bench.client(proxy)
        await client.send(POST)
        await asyncio.sleep(delay / 1000)
        client.abort()
    await asyncio.wait_for(asyncio.gather(*(tap.ended.wait() for tap in taps)), 20)
    await asyncio.sleep(0.2)

    ends = [[call[0] for call in tap.calls if call[0] in ("before_last_byte", "abort")] for tap in taps]
    assert len(taps) > 0
    assert all(len(end) == 1 for end in ends)
