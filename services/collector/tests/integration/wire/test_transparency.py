"""Every dialect through a collector: the client gets the upstream's bytes and the upstream the client's, and it learns who left.

The clients are bare sockets; the upstream replays recorded traffic of each dialect, or what a test says.
"""

import gzip
import hashlib
import json
import os
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from forge_collector.data_plane import lanes
from forge_collector.settings import Settings
from forge_common.contracts.exchange import Message

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[2] / "recorded"
TYPES = {
    ".sse": b"text/event-stream; charset=utf-8",
    ".ndjson": b"application/x-ndjson",
    ".json": b"application/json",
}
REPLIES = sorted(str(path.relative_to(RECORDED)) for path in RECORDED.rglob("*.*") if path.suffix in TYPES)
# One of each kind, for what costs seconds.
STREAMS = [
    "openai/v1/chat/completions/text.sse",
    "openai/v1/responses/tools.sse",
    "openai/v1/completions/stream.sse",
    "ollama/api/chat/stream.ndjson",
    "ollama/api/generate/stream.ndjson",
    "anthropic/v1/messages/text.sse",
    "engie/invoke/stream/tools.ndjson",
    "engie/v1/chat/completions/text.sse",
]
WHOLE = {
    "openai/v1/chat/completions/whole.json",
    "openai/v1/responses/text_whole.json",
    "ollama/api/chat/whole.json",
    "anthropic/v1/messages/text.json",
    "engie/invoke/result.json",
}
# A request of every dialect at once, with a field that none of them knows.
ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 5,
    "prompt": "hi",
    "input": "hi",
    "messages": [{"role": "user", "content": "hi"}],
    "odd": [1, {"é": None}],
}
HEADERS = [
    b"content-type: application/json",
    b"Authorization: Bearer made-up-at-run-time",
    b"X-ODD-case: kept ",
    b"x-twice: one",
    b"x-twice: two",
    b"accept-encoding: gzip, br, zstd",
]
# A connection's own: they hold for one hop and may differ on each.
HOP = (b"host:", b"connection:", b"keep-alive:", b"transfer-encoding:", b"x-forge-exchange-id:")


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` are lines as they came, hop by hop ones left out; `is_whole` when the transfer ended as it should."""

    status: bytes
    headers: list[bytes]
    body: bytes
    is_whole: bool
    exchange_id: bytes | None

    @property
    def fingerprint(self) -> tuple[bytes, list[bytes], str]:
        return self.status, self.headers, hashlib.sha256(self.body).hexdigest()


def target(name: str) -> str:
    return f"/{os.path.dirname(name)}"  # noqa: PTH120  a URL's path


def direct(name: str) -> str:
    """Where the collector sends it: without the dialect's name."""
    return "/" + target(name).split("/", 2)[2]


@contextmanager
def asking(
    url: str, path: str, body: bytes, headers: list[bytes] = HEADERS, method: str = "POST"
) -> Iterator[Any]:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: any", *headers]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        client.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        client.sendall(body)
        yield client


def read_answer(client: socket.socket) -> Answer:
    with client.makefile("rb") as stream:
        status = stream.readline()
        lines = list(iter(stream.readline, b"\r\n"))
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        body, is_whole = read_body(stream, fields)
    kept = [line for line in lines if not line.lower().startswith(HOP)]
    return Answer(status, kept, body, is_whole, fields.get(b"x-forge-exchange-id"))


def read_body(stream: Any, fields: dict[bytes, bytes]) -> tuple[bytes, bool]:
    if b"content-length" in fields:
        body = stream.read(int(fields[b"content-length"]))
        return body, len(body) == int(fields[b"content-length"])
    chunks = []
    while line := stream.readline():
        size = int(line, 16)
        chunks.append(stream.read(size))
        if stream.readline() != b"\r\n":
            break
        if not size:
            return b"".join(chunks), True
    return b"".join(chunks), False


def answer_to(url: str, path: str, body: bytes, **more: Any) -> Answer:
    with asking(url, path, body, **more) as client:
        return read_answer(client)


def sent(head: bytes) -> list[bytes]:
    """A request's line and headers as the upstream got them, without those of one hop."""
    return [line for line in head.splitlines() if not line.lower().startswith(HOP)]


def assert_transparent(wired: Any, wire: Any, name: str, body: bytes) -> Answer:
    """The same, both ways, as without a collector."""
    before = len(wire.received)
    bare = answer_to(wire.url, direct(name), body)
    through = answer_to(wired.url, target(name), body)

    first, second = wire.received[before:]
    assert through.fingerprint == bare.fingerprint
    assert through.is_whole
    assert (sent(second.head), second.body) == (sent(first.head), first.body)
    return through


def request(*, stream: bool, **more: Any) -> bytes:
    return json.dumps({**ASKED, "stream": stream, **more}, ensure_ascii=False, indent=1).encode()


def stored(wired: Any) -> list[dict[str, Any]]:
    wired.drain()
    exchanges: list[dict[str, Any]] = wired.stored()
    return exchanges


def read_here(name: str, end: int | None = None) -> Any:
    """What the dialect's own reader makes of a recording, or of its beginning, without any proxy."""
    dialect = lanes(Settings.model_construct())[name.split("/", maxsplit=1)[0]].dialect
    form = dialect.form("POST", direct(name))
    assert form is not None
    path = RECORDED / name
    reader = form.reader(TYPES[path.suffix].decode())
    reader.feed(path.read_bytes()[:end])
    return reader.answered()


@pytest.mark.parametrize("name", REPLIES)
def test_every_recorded_reply_passes_byte_for_byte_and_is_stored_as_it_was_read(
    wired: Any, wire: Any, name: str
) -> None:
    wire.replay(name, piece=23)

    assert_transparent(wired, wire, name, request(stream=not name.endswith(".json")))

    (exchange,) = stored(wired)
    answered = read_here(name)
    assert Message.model_validate(exchange["answer"]) == Message.model_validate(answered.message)
    assert (exchange.get("finish_reason"), exchange["complete"]) == (
        answered.finish_reason,
        answered.complete,
    )
    assert exchange.get("usage", {}) == answered.usage
    assert exchange["dialect"] == name.split("/", maxsplit=1)[0]


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
@pytest.mark.parametrize("name", STREAMS[:1] + STREAMS[3:4] + ["openai/v1/chat/completions/whole.json"])
def test_an_encoded_reply_passes_as_it_is_and_is_decoded_in_the_copy(
    wired: Any, wire: Any, name: str, encoding: str
) -> None:
    plain = wire.replay(name)
    body = encoded(encoding, plain.body)
    pieces = tuple(body[i : i + 11] for i in range(0, len(body), 11))
    wire.reply = plain.but(pieces=pieces, headers=(*plain.headers, (b"Content-Encoding", encoding.encode())))

    through = assert_transparent(wired, wire, name, request(stream=True))

    assert through.body == body
    (exchange,) = stored(wired)
    assert exchange["complete"]
    assert Message.model_validate(exchange["answer"]) == Message.model_validate(read_here(name).message)


def encoded(encoding: str, body: bytes) -> bytes:
    encoders: Any = {
        "gzip": gzip.compress,
        "br": brotli.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "deflate": zlib.compress,
    }
    return bytes(encoders[encoding](body))


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "ollama", "engie"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (b"400 Bad Request", b'{"error":{"message":"no","odd":1.0}}'),
        (b"401 Unauthorized", b'{"error":{"message":"bad key"}}'),
        (b"404 Not Found", b"{}"),
        (b"413 Content Too Large", b"<html>too large</html>"),
        (b"429 Too Many Requests", gzip.compress(b'{"error":{"message":"slow down"}}', mtime=0)),
        (b"500 Oh dear", b""),
        (b"503 Service Unavailable", b"\xff\x00 not even text"),
        (b"529 Overloaded", b'{"type":"error","error":{"type":"overloaded_error"}}'),
    ],
)
def test_errors_pass_with_their_headers_and_are_kept_with_their_status(
    wired: Any, wire: Any, dialect: str, status: bytes, body: bytes
) -> None:
    name = next(name for name in REPLIES if name.startswith(dialect))
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Retry-After", b"7"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"X-OdD", "naïve".encode("latin-1")),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"Set-Cookie", b"b=2; Path=/"),
    ]
    if status.startswith(b"429"):
        headers.append((b"Content-Encoding", b"gzip"))
    wire.reply = wire.reply.but(status=status, headers=tuple(headers), pieces=(body,), has_length=True)

    through = assert_transparent(wired, wire, name, request(stream=True))

    assert through.status == b"HTTP/1.1 " + status + b"\r\n"
    assert b"Retry-After: 7\r\n" in through.headers
    (exchange,) = stored(wired)
    assert (exchange["status"], exchange["answer"].get("content")) == (int(status[:3]), None)
    assert through.exchange_id == exchange["id"].encode()


@pytest.mark.parametrize(
    ("method", "path", "straight"),
    [
        ("GET", "/openai/v1/models?limit=2&after=%2F", "/v1/models?limit=2&after=%2F"),
        ("POST", "/v1/embeddings", "/v1/embeddings"),
        ("GET", "/v1/responses/resp_1", "/v1/responses/resp_1"),
        ("GET", "/api/tags", "/api/tags"),
        ("POST", "/api/embed", "/api/embed"),
        ("POST", "/api/show", "/api/show"),
        ("DELETE", "/api/delete", "/api/delete"),
        ("HEAD", "/ollama/", "/"),
        ("HEAD", "/", "/"),
        ("POST", "/v1/messages/count_tokens?beta=true", "/v1/messages/count_tokens?beta=true"),
        ("GET", "/status", "/status"),
        ("POST", "/cancel", "/cancel"),
    ],
)
def test_what_is_no_exchange_passes_byte_for_byte_and_leaves_nothing(
    wired: Any, wire: Any, method: str, path: str, straight: str
) -> None:
    wire.reply = wire.reply.but(pieces=(b'{"data": null}',), has_length=method != "HEAD")
    body = b"" if method in ("GET", "HEAD") else b'{"model":"tiny","input":"hi"}'

    bare = heads_only(wire.url, straight, body, method)
    through = heads_only(wired.url, path, body, method)

    assert through.fingerprint == bare.fingerprint
    assert through.exchange_id is None
    first, second = wire.received
    assert (sent(second.head), second.body) == (sent(first.head), first.body)
    assert stored(wired) == []


def heads_only(url: str, path: str, body: bytes, method: str) -> Answer:
    """Of a reply to HEAD nothing follows the headers."""
    with asking(url, path, body, method=method) as client:
        if method != "HEAD":
            return read_answer(client)
        with client.makefile("rb") as stream:
            status = stream.readline()
            lines = list(iter(stream.readline, b"\r\n"))
        return Answer(status, [line for line in lines if not line.lower().startswith(HOP)], b"", True, None)


@pytest.mark.parametrize("name", STREAMS)
def test_each_piece_of_a_stream_arrives_before_the_next_one_is_sent(wired: Any, wire: Any, name: str) -> None:
    whole = wire.replay(name)
    for n in (1, 2, len(whole.pieces) // 2, len(whole.pieces) - 1):
        wire.reset()
        wire.reply = whole.but(hangs_after=n)
        expected = b"".join(whole.pieces[:n])

        with asking(wired.url, target(name), request(stream=True)) as client:
            assert wire.hanging.wait(60)
            assert body_so_far(client, len(expected)) == expected
        assert wire.gone.wait(30)


def body_so_far(client: socket.socket, size: int) -> bytes:
    """The first `size` bytes of a chunked body; hangs where they do not come."""
    with client.makefile("rb") as stream:
        for _ in iter(stream.readline, b"\r\n"):
            continue
        body = b""
        while len(body) < size:
            body += stream.read(int(stream.readline(), 16))
            stream.readline()
    return body


@pytest.mark.parametrize("name", STREAMS)
def test_a_client_that_leaves_before_the_first_byte_cancels_the_upstream(
    wired: Any, wire: Any, name: str
) -> None:
    wire.replay(name)
    wire.reply = wire.reply.but(hangs_after=-1)

    with asking(wired.url, target(name), request(stream=True)):
        assert wire.hanging.wait(60)

    assert wire.gone.wait(30)
    assert stored(wired) == []


@pytest.mark.parametrize("name", STREAMS)
def test_a_client_that_leaves_in_mid_stream_cancels_the_upstream_and_what_came_is_kept_as_partial(
    wired: Any, wire: Any, name: str
) -> None:
    whole = wire.replay(name)
    n = len(whole.pieces) * 2 // 3
    wire.reply = whole.but(hangs_after=n)

    so_far = len(b"".join(whole.pieces[:n]))
    with asking(wired.url, target(name), request(stream=True)) as client:
        body_so_far(client, so_far)

    assert wire.gone.wait(30)
    (exchange,) = eventually_stored(wired)
    assert exchange["complete"] is False
    assert Message.model_validate(exchange["answer"]) == Message.model_validate(
        read_here(name, so_far).message
    )


@pytest.mark.parametrize("name", sorted(WHOLE))
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_client_that_leaves_a_reply_that_is_no_stream_cancels_the_upstream(
    wired: Any, wire: Any, name: str, has_begun: bool
) -> None:
    whole = wire.replay(name)
    wire.reply = whole.but(hangs_after=1 if has_begun else -1, has_length=True)

    with asking(wired.url, target(name), request(stream=False)) as client:
        assert wire.hanging.wait(60)
        if has_begun:
            with client.makefile("rb") as stream:
                assert stream.readline().endswith(b"200 OK\r\n")

    assert wire.gone.wait(30)
    kept = eventually_stored(wired) if has_begun else stored(wired)
    assert [(exchange["complete"], exchange["answer"].get("content")) for exchange in kept] == (
        [(False, None)] if has_begun else []
    )


def eventually_stored(wired: Any) -> list[dict[str, Any]]:
    """The upstream may hear of the end before the spool does."""
    deadline = time.monotonic() + 10
    while not (exchanges := stored(wired)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return exchanges


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_whose_upstream_dies_breaks_off_at_the_client_and_is_kept_as_partial(
    wired: Any, wire: Any, name: str
) -> None:
    whole = wire.replay(name)
    n = len(whole.pieces) * 2 // 3
    wire.reply = whole.but(dies_after=n)

    through = answer_to(wired.url, target(name), request(stream=True))

    assert not through.is_whole
    assert through.body == b"".join(whole.pieces[:n])
    (exchange,) = eventually_stored(wired)
    assert exchange["complete"] is False
    partial = read_here(name, len(through.body)).message
    assert Message.model_validate(exchange["answer"]) == Message.model_validate(partial)


def test_loading_a_model_passes_and_is_neither_kept_nor_counted_as_lost(wired: Any, wire: Any) -> None:
    name = "ollama/api/chat/load.json"
    wire.replay(name)
    lost = wired.api("GET", "stats")["capture"]["lost"]

    assert_transparent(wired, wire, name, b'{"model":"tiny","messages":[]}')

    assert stored(wired) == []
    assert wired.api("GET", "stats")["capture"]["lost"] == lost


def test_requests_in_chunks_and_requests_that_are_compressed_pass_as_they_are(wired: Any, wire: Any) -> None:
    name = "openai/v1/chat/completions/whole.json"
    wire.replay(name)
    body = zstandard.ZstdCompressor().compress(request(stream=False))
    headers = [*HEADERS, b"Content-Encoding: zstd", b"Transfer-Encoding: chunked"]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in cut(body, 40)) + b"0\r\n\r\n"

    port = int(wired.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(
            b"\r\n".join([f"POST {target(name)} HTTP/1.1".encode(), b"Host: any", *headers, b"", b""])
        )
        client.sendall(chunks)
        assert read_answer(client).is_whole

    assert wire.received[0].body == body
    (exchange,) = stored(wired)
    assert exchange["messages"] == [{"role": "user", "content": "hi"}]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]
