"""An upstream that replays wire traffic byte for byte and notices when its caller leaves, and a collector in front of it.

`wire` is the upstream of every dialect of `wired`; what it replays lies in `tests/recorded`, or is said by the test.
"""

import contextlib
import dataclasses
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from forge_collector.models import SCHEMA
from forge_common.db.migrate import upgrade

RECORDED = Path(__file__).parents[2] / "recorded"
TYPES = {
    ".sse": "text/event-stream; charset=utf-8",
    ".ndjson": "application/x-ndjson",
    ".json": "application/json",
}
PIECE = 48


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it stands on the wire. Each piece leaves in its own packet, and as its own chunk where there is no length."""

    pieces: tuple[bytes, ...] = (b"{}",)
    status: bytes = b"200 OK"
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Content-Type", b"application/json"),)
    has_length: bool = False
    # After so many pieces (None: never) it waits until the caller leaves; or closes the connection itself.
    hangs_after: int | None = None
    dies_after: int | None = None
    pause_s: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def but(self, **changes: Any) -> "Reply":
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came: `head` are the bytes up to the empty line."""

    head: bytes
    body: bytes


@dataclass
class Wire:
    """Replays `reply` to whoever asks, or what `replies` has for the path."""

    reply: Reply = field(default_factory=Reply)
    replies: dict[str, Reply] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        self.reply, self.replies, self.received = Reply(), {}, []
        self.hanging, self.gone = threading.Event(), threading.Event()

    def replay(self, name: str, piece: int = PIECE) -> Reply:
        """From now on reply with `recorded/NAME`, in pieces of `piece` bytes, whatever that cuts in two."""
        path = RECORDED / name
        body = path.read_bytes()
        pieces = tuple(body[i : i + piece] for i in range(0, len(body), piece))
        self.reply = Reply(pieces, headers=((b"Content-Type", TYPES[path.suffix].encode()),))
        return self.reply

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def close(self) -> None:
        # A blocked accept would outlive a mere close.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while head := read_head(stream):
                request = Received(head, read_body(stream, head))
                self.received.append(request)
                path = head.split(b" ")[1].partition(b"?")[0].decode()
                if not self._answer(connection, self.replies.get(path, self.reply), head):
                    return

    def _answer(self, connection: socket.socket, reply: Reply, head: bytes) -> bool:
        """False when the connection can carry nothing more."""
        is_head = head.startswith(b"HEAD ")
        if self._stops(connection, reply, -1):
            return False
        self._send(connection, head_of(reply))
        for i, piece in enumerate(() if is_head else reply.pieces):
            if self._stops(connection, reply, i):
                return False
            self._send(connection, piece if reply.has_length else b"%x\r\n%s\r\n" % (len(piece), piece))
            if reply.pause_s:
                threading.Event().wait(reply.pause_s)
        if self._stops(connection, reply, len(reply.pieces)):
            return False
        if not reply.has_length and not is_head:
            self._send(connection, b"0\r\n\r\n")
        return True

    def _send(self, connection: socket.socket, data: bytes) -> None:
        try:
            connection.sendall(data)
        except OSError:
            self.gone.set()
            raise

    def _stops(self, connection: socket.socket, reply: Reply, sent: int) -> bool:
        if reply.dies_after == sent:
            return True
        if reply.hangs_after != sent:
            return False
        self.hanging.set()
        connection.settimeout(20)
        with contextlib.suppress(TimeoutError):
            try:
                is_gone = connection.recv(1) == b""
            except ConnectionError:
                is_gone = True
            if is_gone:
                self.gone.set()
        return True


def head_of(reply: Reply) -> bytes:
    framing = b"Content-Length: %d" % len(reply.body) if reply.has_length else b"Transfer-Encoding: chunked"
    lines = [b"HTTP/1.1 " + reply.status, *(b"%s: %s" % header for header in reply.headers), framing]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def read_head(stream: Any) -> bytes:
    """Status or request line and headers, without the empty line; nothing at the end of the connection."""
    lines = []
    while (line := stream.readline()) not in (b"", b"\r\n"):
        lines.append(line)
    return b"".join(lines) if line else b""


def read_body(stream: Any, head: bytes) -> bytes:
    fields = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))
    }
    if fields.get(b"transfer-encoding") == b"chunked":
        chunks = []
        while size := int(stream.readline(), 16):
            chunks.append(stream.read(size))
            stream.readline()
        stream.readline()
        return b"".join(chunks)
    return bytes(stream.read(int(fields.get(b"content-length", 0))))


@pytest.fixture(scope="session")
def shared_wire() -> Iterator[Wire]:
    wire = Wire()
    thread = threading.Thread(target=wire.serve, daemon=True)
    thread.start()
    yield wire
    wire.close()
    thread.join(10)


@pytest.fixture
def wire(shared_wire: Wire) -> Wire:
    shared_wire.reset()
    return shared_wire


@pytest.fixture(scope="session")
def shared_wired(shared_wire: Wire, collector_with: Callable[..., Any], postgres_url: str) -> Iterator[Any]:
    name = f"wire_{secrets.token_hex(6)}"
    server = postgres_url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    url = f"{postgres_url.rpartition('/')[0]}/{name}"
    upgrade(url, package="forge_collector", schema=SCHEMA)
    process = collector_with(
        url,
        FORGE_COLLECTOR_OPENAI_UPSTREAM=f"{shared_wire.url}/v1",
        FORGE_COLLECTOR_ANTHROPIC_UPSTREAM=shared_wire.url,
        FORGE_COLLECTOR_OLLAMA_UPSTREAM=shared_wire.url,
        # By another name: an OpenAI upstream at the Engie proxy's own address would be read as Engie's.
        FORGE_COLLECTOR_ENGIE_UPSTREAM=f"http://localhost:{shared_wire.port}",
    )
    yield process
    process.end()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def wired(shared_wired: Any, wire: Wire) -> Any:
    """A collector whose upstreams are all `wire`, with an empty database."""
    del wire
    shared_wired.drain()
    with shared_wired.connect() as connection:
        connection.execute("truncate collector.exchanges, collector.feedback, collector.datasets")
    return shared_wired
