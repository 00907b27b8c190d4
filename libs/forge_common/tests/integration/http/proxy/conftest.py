"""A real upstream whose every byte a test decides, a raw client, and h11 as the independent judge of what is on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest

from forge_common.http.proxy import AbortReason, Forward, Limits, ProxyServer, RequestHead, Upstream

PATIENCE_S = 10.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@dataclass
class Asked:
    """One request as the upstream got it."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    raw: bytes = b""

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Peer:
    """The upstream's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> Asked:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *rest = raw[:-4].split(b"\r\n")
        headers = [tuple(part.split(b": ", 1)) for part in rest]
        return Asked(line, headers, raw=raw)  # type: ignore[arg-type]

    async def request(self) -> Asked:
        asked = await self.head()
        if asked.get(b"transfer-encoding"):
            while size := int((await self.reader.readuntil(b"\r\n")), 16):
                asked.body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        else:
            asked.body = await self.reader.readexactly(int(asked.get(b"content-length") or 0))
        return asked

    async def send(self, *pieces: bytes) -> None:
        """Each piece in a segment of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.01)

    async def closed(self) -> bool:
        """Waits until the other side has gone, whatever it still sends."""
        with suppress(ConnectionError):
            await asyncio.wait_for(self.reader.read(), PATIENCE_S)
        return True


Handler = Callable[[Peer], Awaitable[None]]


@dataclass
class Origin:
    port: int
    connections: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def upstream(self) -> Upstream:
        return Upstream("http", "127.0.0.1", self.port)


@dataclass
class Reply:
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Client:
    """A raw client. `reply()` reads with h11, which refuses what is not HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._h11: h11.Connection | None = None

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.005)

    async def reply(self, method: str = "GET") -> Reply:
        """Raises h11.RemoteProtocolError when the reply breaks off."""
        if self._h11 is None:
            self._h11 = h11.Connection(h11.CLIENT)
        else:
            self._h11.start_next_cycle()
        self._h11.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        self._h11.send(h11.EndOfMessage())
        reply: Reply | None = None
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                reply = Reply(event.status_code, bytes(event.reason), event.headers.raw_items(), b"")
            elif isinstance(event, h11.Data):
                assert reply is not None
                reply.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert reply is not None
                return reply

    async def interim(self) -> int:
        """The status of a 1xx reply."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        return int(raw.split()[1])

    async def _event(self) -> Any:
        assert self._h11 is not None
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(await asyncio.wait_for(self.reader.read(65536), PATIENCE_S))
        return event

    async def rest(self) -> bytes:
        """Everything until the connection ends, however it ends."""
        received = b""
        with suppress(ConnectionError):
            while data := await asyncio.wait_for(self.reader.read(65536), PATIENCE_S):
                received += data
        return received

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


class RecordingTap:
    """Writes down what it is told, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.ended = asyncio.Event()

    def on_request_head(self, head: RequestHead) -> None:
        self.calls.append(("request_head", head.method, head.target))

    def on_request_body(self, data: bytes) -> None:
        self.calls.append(("request_body", data))

    def on_response_head(self, status: int, headers: Any) -> None:
        self.calls.append(("response_head", status, list(headers)))

    def on_response_body(self, data: bytes) -> None:
        self.calls.append(("response_body", data))

    def before_last_byte(self) -> None:
        self.calls.append(("before_last_byte",))
        self.ended.set()

    def on_abort(self, reason: AbortReason) -> None:
        self.calls.append(("abort", reason))
        self.ended.set()

    def joined(self, kind: str) -> bytes:
        return b"".join(call[1] for call in self.calls if call[0] == kind)

    @property
    def end(self) -> tuple[Any, ...]:
        return self.calls[-1]


class Bench:
    """Upstreams, proxies and clients of one test, all closed at its end."""

    RecordingTap = RecordingTap

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def until(self, claim: Callable[[], bool]) -> None:
        """Waits for what happens in this same loop, however slowly."""
        async with asyncio.timeout(PATIENCE_S):
            while not claim():  # noqa: ASYNC110  nobody tells of it
                await asyncio.sleep(0.01)

    async def origin(self, handler: Handler, **options: Any) -> Origin:
        """`handler` is called once per connection; it may answer many requests on it."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            origin.connections += 1
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(Peer(reader, writer))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
        origin = Origin(server.sockets[0].getsockname()[1])
        self._stack.callback(server.close)
        return origin

    async def answering(self, *replies: bytes) -> Origin:
        """An upstream that answers its requests with `replies` in turn, the last one for ever."""
        left = list(replies)

        async def handler(peer: Peer) -> None:
            while True:
                origin.asked.append(await peer.request())
                await peer.send(left.pop(0) if len(left) > 1 else left[0])

        origin = await self.origin(handler)
        return origin

    async def proxy(
        self,
        target: Origin | Upstream | Callable[[RequestHead], Any],
        *,
        limits: Limits | None = None,
        **more: Any,
    ) -> ProxyServer:
        """To an upstream with the client's own path, or by a route."""

        def forward(head: RequestHead) -> Forward:
            upstream = target.upstream if isinstance(target, Origin) else target
            assert isinstance(upstream, Upstream)
            return Forward(upstream=upstream, target=head.target, **more)

        route = forward if isinstance(target, Origin | Upstream) else target
        options = {} if route is forward else more
        server = ProxyServer(route, limits=limits, **options)
        await server.start("127.0.0.1", 0)
        self._stack.push_async_callback(server.stop, 0.05)
        return server

    async def client(self, proxy: ProxyServer) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        client = Client(reader, writer)
        self._stack.callback(client.close)
        return client

    async def ask(self, proxy: ProxyServer, *pieces: bytes, method: str = "GET") -> Reply:
        client = await self.client(proxy)
        await client.send(*pieces)
        return await client.reply(method)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack)
