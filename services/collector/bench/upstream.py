"""The upstream of the benchmarks: one process, one event loop, answers at once.

    python upstream.py PORT

The header `x-bench` says what to answer: a kind of `payloads` (a whole reply), `size N` (a whole reply of N bytes,
written at once) or `stream CHUNKS EVERY_S` (events at that pace; the id of each says when it was sent, in nanoseconds
of this machine's monotonic clock).
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import lru_cache
from typing import Any

import uvloop
from httptools import HttpRequestParser
from payloads import KINDS, kind, long_text, reply, token

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = (
    b'data: {"id":"chatcmpl-%d","object":"chat.completion.chunk","created":1795336481,"model":"teacher-1",'
    b'"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\n\n'
)
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


@lru_cache(maxsize=16)
def whole(order: str) -> bytes:
    name, _, size = order.partition(" ")
    body = reply(long_text(int(size)) if name == "size" else kind(name or KINDS[0].name).answer)
    return HEAD % len(body) + body


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = HttpRequestParser(self)
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.order = KINDS[0].name

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-bench":
            self.order = value.decode()

    def on_message_complete(self) -> None:
        if self.order.startswith("stream "):
            _, chunks, every = self.order.split()
            self.transport.write(STREAM_HEAD)
            self.count, self.every = int(chunks), float(every)
            self.next, self.due = 0, self.loop.time()
            self.say()
        else:
            self.transport.write(whole(self.order))

    def say(self) -> None:
        i, self.next = self.next, self.next + 1
        finish = b'"stop"' if self.next == self.count else b"null"
        event = CHUNK % (time.monotonic_ns(), token(i).encode(), finish)
        piece = b"%x\r\n%b\r\n" % (len(event), event)
        if self.next == self.count:
            self.transport.write(piece + DONE)
            return
        self.transport.write(piece)
        self.due += self.every
        self.timer = self.loop.call_at(self.due, self.say)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
