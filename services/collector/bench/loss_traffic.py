"""The traffic of the loss table: clients that write down what was delivered to them whole, and never ask twice.

Four kinds: whole replies on a kept connection, several requests at once on one (pipelined), streams, and streams whose
reader leaves at `[DONE]`, before the transfer's end.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop
from httptools import HttpParserError, HttpResponseParser
from load import wire
from payloads import PATH, long_text, request

PATIENCE_S = 20.0
# Between two requests of a client, so that a small machine has time for the rest.
PAUSE_S = 0.004


@dataclass(frozen=True)
class Kind:
    order: str = "prose"
    at_once: int = 1
    is_stream: bool = False
    leaves_early: bool = False


STREAM = "stream 10 0.003"
KINDS = (
    Kind(),
    Kind(at_once=4),
    Kind(STREAM, is_stream=True),
    Kind(STREAM, is_stream=True, leaves_early=True),
)


class Connection(asyncio.Protocol):
    """`ask` resolves to the prompts that were answered whole, which are fewer where the connection broke off."""

    def __init__(self, kind: Kind) -> None:
        self.transport: Any = None
        self._kind = kind
        self._parser = HttpResponseParser(self)
        self._waiting: deque[str] = deque()
        self._answered: list[str] = []
        self._tail = b""
        self._done: asyncio.Future[list[str]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    async def ask(self, prompts: list[str], size: int) -> list[str]:
        self._waiting, self._answered = deque(prompts), []
        self._done = asyncio.get_running_loop().create_future()
        bodies = [request(f"{prompt}: {long_text(size)}", stream=self._kind.is_stream) for prompt in prompts]
        self.transport.write(b"".join(wire(PATH, body, self._kind.order) for body in bodies))
        return await asyncio.wait_for(self._done, PATIENCE_S)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.transport.close()

    def on_body(self, data: bytes) -> None:
        self._tail = self._tail[-32:] + data
        if self._kind.leaves_early and b"data: [DONE]" in self._tail:
            self._take()
            self.transport.close()

    def on_message_complete(self) -> None:
        is_whole = not self._kind.is_stream or b"data: [DONE]" in self._tail
        if self._parser.get_status_code() == 200 and is_whole:
            self._take()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._finish()

    def _take(self) -> None:
        if self._waiting:
            self._answered.append(self._waiting.popleft())
            self._tail = b""
        if not self._waiting:
            self._finish()

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(self._answered)


class Traffic:
    """Runs in a thread until it is stopped; `delivered` are the prompts whose answers came whole."""

    def __init__(self, port: int, *, clients: int = 8, size: int = 600) -> None:
        self.delivered: list[str] = []
        self._port, self._clients, self._size = port, clients, size
        self._stopped = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="traffic", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join(2 * PATIENCE_S)

    async def _run(self) -> None:
        await asyncio.gather(
            *(self._talk(number, KINDS[number % len(KINDS)]) for number in range(self._clients))
        )

    async def _talk(self, number: int, kind: Kind) -> None:
        asked = 0
        while not self._stopped.is_set():
            connection = await self._connect(kind)
            while connection is not None and not self._stopped.is_set():
                prompts = [f"Question {asked + i} of client {number}" for i in range(kind.at_once)]
                asked += kind.at_once
                answered = await connection.ask(prompts, self._size)
                self.delivered += answered
                if answered != prompts or connection.transport.is_closing():
                    break
                await asyncio.sleep(PAUSE_S)
            if connection is not None:
                connection.transport.close()

    async def _connect(self, kind: Kind) -> Connection | None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(kind), "127.0.0.1", self._port
            )
        except OSError:
            await asyncio.sleep(0.05)  # it was killed and is not back yet
            return None
        return connection
