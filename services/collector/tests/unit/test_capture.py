"""The tap: what it hands to the spool, and that nothing it meets reaches the traffic."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from forge_collector.capture import Capture
from forge_collector.dialects.openai import ChatCompletions
from forge_collector.recorder import Context, Recorder
from forge_collector.spool import Position, Spool
from forge_common.contracts.exchange import Exchange
from forge_common.http.proxy import AbortReason, RequestHead

REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "mail ann@mail.org"}]}).encode()
REPLY = json.dumps(
    {"model": "s", "choices": [{"message": {"content": "to ann@mail.org"}, "finish_reason": "stop"}]}
).encode()
JSON_HEAD = [(b"Content-Type", b"application/json")]


class World:
    def __init__(self, folder: Path, max_bytes: int = 1 << 20) -> None:
        self.spool = Spool(folder, limit_bytes=1 << 20, segment_bytes=1 << 16, fsync_s=0.001)
        self.recorder = Recorder(self.spool, lambda: "coding", max_bytes=max_bytes, later=self._later)
        self.waiting: list[Callable[[], None]] = []

    def _later(self, do: Callable[[], None]) -> None:
        self.waiting.append(do)

    def capture(self, **fields: Any) -> Capture:
        return Capture(self.recorder, ChatCompletions(), Context("ex_1", "openai", "http://up", **fields))

    def kept(self) -> list[Exchange]:
        return [Exchange.model_validate_json(frame) for frame in self.spool.reader(Position()).read(100)]


@pytest.fixture
def world(tmp_path: Path) -> Any:
    world = World(tmp_path)
    yield world
    world.spool.close()


def head(body: bytes = REQUEST, **fields: bytes) -> RequestHead:
    return RequestHead(
        method="POST", target=b"/v1/chat/completions", headers=[], fields={k.replace("_", "-").encode(): v for k, v in fields.items()},
        version="1.1", client=None, content_length=len(body), has_body=True,
    )  # fmt: skip


def converse(capture: Capture, request: bytes = REQUEST, reply: bytes = REPLY, status: int = 200) -> None:
    capture.on_request_head(head(request))
    capture.on_request_body(request)
    capture.on_response_head(status, JSON_HEAD)
    capture.on_response_body(reply)
    capture.before_last_byte()


def test_an_exchange_is_a_valid_contract_and_redacted(world: World) -> None:
    converse(world.capture(domain="legal", conversation="talk"))

    (exchange,) = world.kept()
    assert exchange.messages[0].content == "mail <EMAIL_1>"
    assert exchange.answer.content == "to <EMAIL_1>"
    assert (exchange.domain, exchange.conversation_id, exchange.model_served) == ("legal", "talk", "s")
    assert world.recorder.stats.kept == 1


def test_the_request_is_read_after_it_was_forwarded_and_before_the_answer(world: World) -> None:
    capture = world.capture()
    capture.on_request_head(head())
    capture.on_request_body(REQUEST[:10])
    assert world.waiting == []

    capture.on_request_body(REQUEST[10:])

    assert len(world.waiting) == 1


def test_a_stream_is_safe_before_its_end_mark_leaves(world: World) -> None:
    capture = world.capture()
    capture.on_request_head(head())
    capture.on_request_body(REQUEST)
    capture.on_response_head(200, [(b"content-type", b"text/event-stream")])
    capture.on_response_body(b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n')
    assert world.kept() == []

    capture.on_response_body(b"data: [DONE]\n\n")
    assert [e.complete for e in world.kept()] == [True]

    capture.on_abort(AbortReason.CLIENT_GONE)
    assert len(world.kept()) == 1


@pytest.mark.parametrize(
    ("request_body", "reply", "reason"),
    [
        (b"{no json", REPLY, "unreadable"),
        (REQUEST, b"<html>", "unreadable"),
        (REQUEST, b'{"choices":[]}', "unreadable"),
        (REQUEST, b"x" * 2000, "too_large"),
    ],
)
def test_what_cannot_be_kept_is_counted_by_reason(
    tmp_path: Path, request_body: bytes, reply: bytes, reason: str
) -> None:
    world = World(tmp_path, max_bytes=1000)

    converse(world.capture(), request_body, reply)

    assert world.kept() == []
    assert world.recorder.stats.lost == {reason: 1}
    world.spool.close()


def test_what_cannot_be_redacted_is_not_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("forge_collector.recorder.suspects", broken)

    converse(world.capture())

    assert world.kept() == []
    assert world.recorder.stats.lost == {"capture_failed": 1}


def test_a_refusal_is_kept_without_an_answer(world: World) -> None:
    converse(world.capture(), reply=b'{"error":{"message":"bad key sk-123"}}', status=401)

    (exchange,) = world.kept()
    assert (exchange.status, exchange.answer.content) == (401, None)


def test_a_request_that_was_never_answered_leaves_nothing(world: World) -> None:
    capture = world.capture()
    capture.on_request_head(head())
    capture.on_request_body(REQUEST)

    capture.on_abort(AbortReason.CLIENT_GONE)

    assert world.kept() == []
    assert world.recorder.stats.unanswered == 1


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_compressed_replies_are_decoded_piece_by_piece(world: World, encoding: str) -> None:
    capture = world.capture()
    capture.on_request_head(head())
    capture.on_request_body(REQUEST)
    capture.on_response_head(200, [*JSON_HEAD, (b"Content-Encoding", encoding.encode())])
    for byte in compress(encoding, REPLY):
        capture.on_response_body(bytes([byte]))
    capture.before_last_byte()

    (exchange,) = world.kept()
    assert exchange.answer.content == "to <EMAIL_1>"


def compress(encoding: str, data: bytes) -> bytes:
    import gzip
    import zlib

    import brotli
    import zstandard

    return bytes(
        {
            "gzip": gzip.compress,
            "br": brotli.compress,
            "zstd": zstandard.ZstdCompressor().compress,
            "deflate": zlib.compress,
        }[encoding](data)
    )


def test_an_unknown_encoding_costs_only_the_copy(world: World) -> None:
    capture = world.capture()
    capture.on_request_head(head())
    capture.on_request_body(REQUEST)
    capture.on_response_head(200, [(b"content-encoding", b"dcb")])
    capture.on_response_body(b"?")
    capture.before_last_byte()

    assert world.recorder.stats.lost == {"unreadable": 1}


def test_the_record_on_disk_is_plain_json(world: World) -> None:
    converse(world.capture())

    (frame,) = world.spool.reader(Position()).read(10)
    assert orjson.loads(frame)["sampling"] == {}
