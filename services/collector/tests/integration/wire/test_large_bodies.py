"""Bodies of 64 MB both ways: the bytes hash the same, and the collector's memory stays within bounds."""

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import psutil
import pytest

pytestmark = pytest.mark.integration

MB = 1024 * 1024
SIZE = 64 * MB


@pytest.fixture
def fresh(collector_with: Callable[..., Any], wired: Any, wire: Any) -> Iterator[Any]:
    """A collector of its own: what others made a process take, it seldom gives back."""
    process = collector_with(
        wired.env["FORGE_DATABASE_URL"],
        FORGE_COLLECTOR_OPENAI_UPSTREAM=f"{wire.url}/v1",
        FORGE_COLLECTOR_OLLAMA_UPSTREAM=wire.url,
    )
    yield process
    process.end()


class Peak:
    """The most memory that a process was seen to hold, above what it held at the beginning."""

    def __init__(self, pid: int) -> None:
        self._process, self._stop = psutil.Process(pid), threading.Event()
        self._start = self._most = self._resident()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown_mb(self) -> float:
        return (self._most - self._start) / MB

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self._most = max(self._most, self._resident())

    def _resident(self) -> int:
        return int(self._process.memory_info().rss)


def post(url: str, path: str, body: bytes, pause_s: float = 0.0) -> str:
    """The hash of the reply's body, read in pieces; `pause_s` before each megabyte."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=120) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: any\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        sender = threading.Thread(target=lambda: client.sendall(head.encode() + body))
        sender.start()
        digest = read(client, pause_s)
        sender.join()
    return digest


def read(client: socket.socket, pause_s: float) -> str:
    digest = hashlib.sha256()
    with client.makefile("rb") as stream:
        lines = [line.lower() for line in iter(stream.readline, b"\r\n")]
        left = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
        while left:
            time.sleep(pause_s)
            piece = stream.read(min(left, MB))
            assert piece, "the reply ended early"
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def large(size: int) -> str:
    """Text that is no secret and no run of one letter."""
    line = "The quick brown fox jumps over the lazy dog, line after line after line.\n"
    return line * (size // len(line))


def replying(wire: Any, body: bytes) -> str:
    pieces = tuple(body[i : i + MB] for i in range(0, len(body), MB))
    wire.reply = wire.reply.but(pieces=pieces, has_length=True)
    return hashlib.sha256(body).hexdigest()


def completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"model": "m-1", "choices": [choice]}).encode()


def test_both_ways_at_once_and_uncaptured_memory_is_flat_however_slowly_the_client_reads(
    fresh: Any, wire: Any
) -> None:
    reply, body = replying(wire, large(SIZE).encode()), large(SIZE).encode()

    with Peak(fresh.process.pid) as peak:
        assert post(fresh.url, "/v1/embeddings", body, pause_s=0.01) == reply

    assert wire.received[0].body == body
    assert peak.grown_mb < 24


@pytest.mark.parametrize(("asked_mb", "answered_mb"), [(64, 0), (0, 64)])
def test_captured_memory_is_a_few_times_the_body_and_other_traffic_goes_on(
    fresh: Any, wire: Any, asked_mb: int, answered_mb: int
) -> None:
    prompt, answer = large(asked_mb * MB) or "hi", large(answered_mb * MB) or "ho"
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]}).encode()
    reply = replying(wire, completion(answer))
    waits: list[float] = []
    done = threading.Event()
    beside = threading.Thread(target=lambda: waits.extend(pings(fresh, done)))

    with Peak(fresh.process.pid) as peak:
        beside.start()
        assert post(fresh.url, "/v1/chat/completions", body) == reply
        exchange = eventually_stored(fresh)
        done.set()
        beside.join()

    assert exchange["messages"][0]["content"] == prompt
    assert exchange["answer"]["content"] == answer
    assert peak.grown_mb < 10 * max(asked_mb, answered_mb)
    assert max(waits) < 10


def eventually_stored(collector: Any) -> Any:
    """A reply is not held back for as long as it takes to write so much down."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        collector.drain()
        if kept := collector.stored():
            return kept[0]
        time.sleep(0.2)
    raise AssertionError(collector.log.read_text())


def pings(collector: Any, done: threading.Event) -> Iterator[float]:
    """How long each of a row of small requests took."""
    while not done.wait(0.02):
        start = time.monotonic()
        with contextlib.closing(
            socket.create_connection(("127.0.0.1", collector.port), timeout=60)
        ) as client:
            client.sendall(b"GET /forge/v1/health HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
            while client.recv(65536):
                continue
        yield time.monotonic() - start
