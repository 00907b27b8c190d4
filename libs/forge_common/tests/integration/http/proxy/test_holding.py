"""A tap that needs longer holds back what it was shown, and nothing else; and not for ever."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import weakref

import pytest

from forge_common.http.proxy import AbortReason, Forward, Limits, ProxyServer
from forge_common.http.proxy.server import SWITCH_S

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

POST = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST, MARK, LAST = b"2\r\nhi\r\n", b"4\r\nDONE\r\n", b"0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def holding(bench):
    """A tap that holds the reply back at its end mark, or at its last byte, until it is told."""

    class Holding(bench.RecordingTap):
        def __init__(self, *, at_mark):
            super().__init__()
            self.at_mark = at_mark
            self.held = asyncio.get_running_loop().create_future()
            self.began = asyncio.Event()

        def on_response_body(self, data):
            super().on_response_body(data)
            return self.hold() if self.at_mark and b"DONE" in data else None

        def before_last_byte(self):
            super().before_last_byte()
            return None if self.at_mark else self.hold()

        def hold(self):
            self.began.set()
            return self.held

        def let_go(self):
            self.held.set_result(None)

    return Holding


async def read_some(client, seconds=0.1):
    try:
        return await asyncio.wait_for(client.reader.read(65536), seconds)
    except TimeoutError:
        return b""


async def stream(peer):
    while True:
        await peer.request()
        await peer.send(HEAD + FIRST, MARK, LAST)


async def test_an_end_mark_leaves_when_the_tap_lets_it_go(bench, holding):
    tap = holding(at_mark=True)
    proxy = await bench.proxy(await bench.origin(stream), tap=tap)
    client = await bench.client(proxy)
    await client.send(POST)
    await asyncio.wait_for(tap.began.wait(), 5)
    early = await read_some(client)
    assert early.endswith(FIRST)
    assert await read_some(client) == b""

    tap.let_go()

    assert await read_some(client, 5) == MARK + LAST
    assert tap.end == ("before_last_byte",)


@pytest.mark.parametrize("reply", [OK, HEAD + FIRST + LAST], ids=["with a length", "chunked"])
async def test_a_last_byte_leaves_when_the_tap_lets_it_go(bench, holding, reply):
    tap = holding(at_mark=False)
    proxy = await bench.proxy(await bench.answering(reply), tap=tap)
    client = await bench.client(proxy)
    await client.send(POST)
    await asyncio.wait_for(tap.began.wait(), 5)
    early = await read_some(client)
    assert len(early) < len(reply)

    tap.let_go()

    assert early + await read_some(client, 5) == reply


async def test_the_next_request_on_the_connection_waits_its_turn(bench, holding):
    taps = [holding(at_mark=False), holding(at_mark=False)]
    taps[1].let_go()
    left = iter(taps)
    origin = await bench.answering(OK)

    def route(head):
        return Forward(upstream=origin.upstream, target=head.target, tap=next(left))

    client = await bench.client(await bench.proxy(route))
    await client.send(POST + POST)
    await asyncio.wait_for(taps[0].began.wait(), 5)
    assert await read_some(client) == b""

    taps[0].let_go()

    assert [(await client.reply("POST")).body, (await client.reply("POST")).body] == [b"ok", b"ok"]


async def test_a_reply_that_dies_after_its_mark_is_cut_only_after_the_hold(bench, holding):
    tap = holding(at_mark=True)

    async def dying(peer):
        await peer.request()
        await peer.send(HEAD + FIRST, MARK)

    client = await bench.client(await bench.proxy(await bench.origin(dying), tap=tap))
    await client.send(POST)
    await asyncio.wait_for(tap.ended.wait(), 5)
    assert not (await read_some(client)).endswith(MARK)

    tap.let_go()

    assert await client.rest() == MARK
    assert tap.end == ("abort", AbortReason.UPSTREAM_DIED)


async def test_a_client_that_leaves_during_a_hold_harms_nobody(bench, holding):
    tap = holding(at_mark=True)
    proxy = await bench.proxy(await bench.origin(stream), tap=tap)
    client = await bench.client(proxy)
    await client.send(POST)
    await asyncio.wait_for(tap.began.wait(), 5)
    client.abort()
    await asyncio.sleep(0.1)

    tap.let_go()
    await asyncio.sleep(0.05)

    assert (await bench.ask(await bench.proxy(await bench.answering(OK)), POST, method="POST")).body == b"ok"
    assert sum(call[0] in ("before_last_byte", "abort") for call in tap.calls) == 1


@pytest.mark.parametrize("at_mark", [True, False])
async def test_a_hold_without_an_end_is_overrun_and_counted(bench, holding, at_mark):
    tap = holding(at_mark=at_mark)
    proxy = await bench.proxy(await bench.origin(stream), tap=tap, limits=Limits(hold_s=0.2))
    client = await bench.client(proxy)
    await client.send(POST)

    reply = await client.reply("POST")

    assert reply.body == b"hiDONE"
    assert proxy.stats.tap_overruns == 1
    tap.let_go()


async def test_what_waits_behind_a_hold_is_bounded(bench, holding):
    tap = holding(at_mark=True)
    much = b"x" * 50_000

    async def endless(peer):
        await peer.request()
        await peer.send(HEAD + MARK)
        for _ in range(40):
            await peer.send(b"%x\r\n%b\r\n" % (len(much), much))
        await peer.send(LAST)

    proxy = await bench.proxy(await bench.origin(endless), tap=tap, limits=Limits(hold_bytes=500_000))
    reply = await bench.ask(proxy, POST, method="POST")

    assert len(reply.body) == 4 + 40 * len(much)
    assert proxy.stats.tap_overruns == 1


async def test_a_served_proxy_yields_to_traffic_and_allows_many_connections(bench):
    before = sys.getswitchinterval(), resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1][1]))
        server = ProxyServer(lambda _: None)
        serving = asyncio.create_task(server._serve("127.0.0.1", 0, 0.05))

        await bench.until(lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512)
        await bench.until(lambda: sys.getswitchinterval() == pytest.approx(SWITCH_S))
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await server.stop(0)
        sys.setswitchinterval(before[0])
        resource.setrlimit(resource.RLIMIT_NOFILE, before[1])


@pytest.mark.parametrize("reply", [OK, HEAD + FIRST + LAST], ids=["with a length", "chunked"])
async def test_what_an_exchange_held_is_gone_with_it(bench, reply):
    """Bodies of megabytes must not wait for the collector of cycles."""
    origin = await bench.answering(reply)
    taps = []

    def route(head):
        tap = bench.RecordingTap()
        taps.append(weakref.ref(tap))
        return Forward(upstream=origin.upstream, target=head.target, tap=tap)

    client = await bench.client(await bench.proxy(route))
    gc.disable()
    try:
        for _ in range(3):
            await client.send(POST)
            await client.reply("POST")
        await bench.until(lambda: [tap() for tap in taps] == [None] * 3)
    finally:
        gc.enable()
