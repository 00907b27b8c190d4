"""The load of the benchmarks: requests at intended times, and streams that are read chunk by chunk. One event loop each."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop
from httptools import HttpResponseParser
from payloads import HEADERS, kind, request

SENT_AT = re.compile(rb'"id":"chatcmpl-(\d+)"')


def wire(path: str, body: bytes, order: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", f"x-bench: {order}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """One request at a time; `done` gets True when its reply was whole and 200."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.parser = HttpResponseParser(self)
        self.done: Callable[[bool], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, wire: bytes, done: Callable[[bool], None]) -> None:
        self.done = done
        self.transport.write(wire)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._end(self.parser.get_status_code() == 200)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._end(is_good=False)

    def _end(self, is_good: bool) -> None:
        done, self.done = self.done, None
        if done is not None:
            done(is_good)


def paced(port: int, path: str, name: str, *, rate: float, seconds: float, seed: int = 1) -> list[float]:
    """Latencies in seconds, from when a request was meant to leave to its reply's last byte.

    Arrivals are a Poisson process, the same for the same seed; what is late waits on a connection of its own, so that a
    stall is paid by everybody whom it meets.
    """
    draw = random.Random(seed)  # noqa: S311
    times, at = [], 0.0
    while (at := at + draw.expovariate(rate)) < seconds:
        times.append(at)

    async def run() -> list[float]:
        return await Paced(port, wire(path, request(kind(name).prompt), name), times).run()

    return uvloop.run(run())


class Paced:
    """Sends at given times over as many connections as that takes."""

    def __init__(self, port: int, wire: bytes, times: list[float]) -> None:
        self.port, self.wire, self.times = port, wire, times
        self.loop = asyncio.get_running_loop()
        self.latencies: list[float] = []
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.idle: list[Connection] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopped = threading.Event()

    async def run(self) -> list[float]:
        self.idle = [await connect(self.port) for _ in range(16)]
        pacer = threading.Thread(target=self.pace, args=(time.perf_counter() + 0.05,))
        pacer.start()
        try:
            await self.finished
        finally:
            self.stopped.set()
            pacer.join()
        for connection in self.idle:
            connection.transport.close()
        return self.latencies

    def pace(self, begin: float) -> None:
        # A thread of its own, since the loop's timers know whole milliseconds only.
        for at in self.times:
            time.sleep(max(begin + at - time.perf_counter(), 0))
            if self.stopped.is_set():
                return
            self.loop.call_soon_threadsafe(self.send, begin + at)

    def send(self, intended: float) -> None:
        task = self.loop.create_task(self.ask(intended))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def ask(self, intended: float) -> None:
        connection = self.idle.pop() if self.idle else await connect(self.port)

        def done(is_good: bool) -> None:
            self.latencies.append(time.perf_counter() - intended)
            self.idle.append(connection)
            if self.finished.done():
                return
            if not is_good:
                self.finished.set_exception(SystemExit("a request was not answered"))
            elif len(self.latencies) == len(self.times):
                self.finished.set_result(None)

        connection.ask(self.wire, done)


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


def one_by_one(port: int, path: str, body: bytes, order: str, count: int) -> list[float]:
    """The same request `count` times; seconds from its first byte to the reply's last."""

    async def ask() -> list[float]:
        connection = await connect(port)
        loop, took = asyncio.get_running_loop(), []
        for _ in range(count):
            done: asyncio.Future[bool] = loop.create_future()
            began = time.perf_counter()
            connection.ask(wire(path, body, order), done.set_result)
            if not await done:
                raise SystemExit("a request was not answered")
            took.append(time.perf_counter() - began)
        connection.transport.close()
        return took

    return uvloop.run(ask())


@dataclass
class Streamed:
    """What the readers of many streams saw. Delays in seconds, from the upstream's sending to here."""

    streams: int = 0
    broken: int = 0
    chunks: int = 0
    delays: list[float] = field(default_factory=list)


class Reading(asyncio.Protocol):
    """Reads streams one after the other on one connection, `rounds` of them, and notes each chunk's delay."""

    def __init__(self, wire: bytes, rounds: int, seen: Streamed, over: Callable[[], None]) -> None:
        self.wire, self.rounds, self.seen, self.over = wire, rounds, seen, over
        self.parser = HttpResponseParser(self)
        self.transport: Any = None
        self.rest = b""
        self.is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.is_done = False
        self.transport.write(self.wire)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        # What was cut in two counts when it is whole.
        whole, mark, self.rest = (self.rest + data).rpartition(b"\n\n")
        for match in SENT_AT.finditer(whole):
            self.seen.chunks += 1
            self.seen.delays.append((now - int(match[1])) / 1e9)
        self.is_done = self.is_done or (bool(mark) and b"[DONE]" in whole)
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.seen.streams += 1
        self.seen.broken += not (self.is_done and self.parser.get_status_code() == 200)
        self.rest = b""
        self.rounds -= 1
        if self.rounds:
            self._ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.broken += exc is not None or self.rounds > 0
        self.over()


def stream(port: int, path: str, *, streams: int, chunks: int, every_s: float, rounds: int) -> Streamed:
    """`streams` at a time, each of `chunks` events `every_s` apart, `rounds` of them one after the other."""
    body = request(kind("prose").prompt, stream=True)
    return uvloop.run(_stream(port, wire(path, body, f"stream {chunks} {every_s}"), streams, every_s, rounds))


async def _stream(port: int, wire: bytes, streams: int, every_s: float, rounds: int) -> Streamed:
    loop = asyncio.get_running_loop()
    seen, left, finished = Streamed(), streams, asyncio.Event()

    def over() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            finished.set()

    begin = loop.time()
    for i in range(streams):
        # Spread over four intervals, so that their chunks do not come in step.
        await asyncio.sleep(begin + i * every_s * 4 / streams - loop.time())
        await loop.create_connection(lambda: Reading(wire, rounds, seen, over), "127.0.0.1", port)
    await finished.wait()
    return seen
