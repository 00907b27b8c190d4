"""The tap: what it hands to the spool, and that nothing it meets reaches the traffic."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from forge_collector.capture import Capture
from forge_collector.dialects.openai import ChatCompletions
from forge_collector.frames import Position
from forge_collector.recorder import LARGEST_IN_FAST_LANE, THREADS, Context, Recorder
from forge_collector.redact import Redactor
from forge_collector.spool import Spool
from forge_common.contracts.exchange import Exchange
from forge_common.http.proxy import AbortReason, RequestHead

REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "mail ann@mail.org"}]}).encode()
REPLY = json.dumps(
    {"model": "s", "choices": [{"message": {"content": "to ann@mail.org"}, "finish_reason": "stop"}]}
).encode()
JSON_HEAD = [(b"Content-Type", b"application/json")]


class World:
    def __init__(self, folder: Path, max_bytes: int = 1 << 20) -> None:
        self.spool = Spool(folder, limit_bytes=1 << 26, segment_bytes=1 << 16, fsync_s=0.001)
        self.recorder = Recorder(self.spool, lambda: "coding", max_bytes=max_bytes, later=self._later)
        self.waiting: list[Callable[[], None]] = []

    def _later(self, do: Callable[[], None]) -> None:
        self.waiting.append(do)

    def capture(self, **fields: Any) -> Capture:
        return Capture(self.recorder, ChatCompletions(), Context("ex_1", "openai", "http://up", **fields))

    def kept(self) -> list[Exchange]:
        return [Exchange.model_validate_json(frame) for frame in self.spool.reader(Position()).read(100)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("forge_collector.redact.Redactor.__call__", broken)

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


LONG = "mail ann@mail.org about it. " * 2_000
LONG_REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": LONG}]}).encode()
LONG_REPLY = json.dumps({"choices": [{"message": {"content": LONG}, "finish_reason": "stop"}]}).encode()


async def pass_by(
    capture: Capture, request: bytes, reply: bytes, content_type: bytes = b"application/json"
) -> Any:
    """What the traffic waits for at the reply's end."""
    capture.on_request_head(head(request))
    capture.on_request_body(request)
    capture.on_response_head(200, [(b"content-type", content_type)])
    held = capture.on_response_body(reply)
    return held or capture.before_last_byte()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("request_body", "reply", "is_held"),
    [(REQUEST, REPLY, False), (LONG_REQUEST, REPLY, True), (REQUEST, LONG_REPLY, True)],
    ids=["small", "long prompt", "long answer"],
)
async def test_what_takes_long_is_done_aside_and_holds_the_reply_back(
    tmp_path: Path, request_body: bytes, reply: bytes, is_held: bool
) -> None:
    world = World(tmp_path, max_bytes=1 << 24)
    held = await pass_by(world.capture(), request_body, reply)

    assert (held is not None) == is_held
    assert len(world.kept()) == (not is_held)
    if held is not None:
        await asyncio.wait_for(held, 30)
    (exchange,) = world.kept()
    assert b"ann@" not in exchange.model_dump_json().encode()
    assert (exchange.status, exchange.complete, world.recorder.stats.kept) == (200, True, 1)
    world.spool.close()


@pytest.mark.anyio
async def test_a_long_stream_is_held_at_its_end_mark_and_kept_once(tmp_path: Path) -> None:
    world = World(tmp_path, max_bytes=1 << 24)
    capture = world.capture()
    event = b'data: {"choices":[{"delta":{"content":"word "},"finish_reason":"stop"}]}\n\n'

    held = await pass_by(capture, REQUEST, event * 5_000 + b"data: [DONE]\n\n", b"text/event-stream")
    assert capture.on_response_body(b": a comment after the end\n\n") is None
    assert capture.before_last_byte() is None
    await asyncio.wait_for(held, 30)

    (exchange,) = world.kept()
    assert exchange.answer.content == "word " * 5_000
    world.spool.close()


@pytest.mark.anyio
async def test_what_fails_aside_is_counted_and_lets_the_reply_go(tmp_path: Path) -> None:
    world = World(tmp_path, max_bytes=1 << 24)

    held = await pass_by(world.capture(), REQUEST, LONG_REPLY[:-1])
    await asyncio.wait_for(held, 30)

    assert world.kept() == []
    assert world.recorder.stats.lost == {"unreadable": 1}
    world.spool.close()


@pytest.mark.anyio
async def test_what_is_still_aside_when_the_service_stops_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path, max_bytes=1 << 24)
    for _ in range(3):
        capture = world.capture()
        capture.on_request_head(head(LONG_REQUEST))
        capture.on_request_body(LONG_REQUEST)
        capture.on_response_head(200, JSON_HEAD)
        capture.on_response_body(LONG_REPLY)
        capture.on_abort(AbortReason.SHUTDOWN)
    assert world.kept() == []

    await asyncio.wait_for(world.recorder.settled(), 30)

    assert len(world.kept()) == 3
    world.spool.close()


@pytest.mark.anyio
async def test_a_long_request_that_nobody_answered_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, max_bytes=1 << 24)
    capture = world.capture()
    capture.on_request_head(head(LONG_REQUEST))
    capture.on_request_body(LONG_REQUEST)
    world.waiting.pop()()

    capture.on_abort(AbortReason.CLIENT_GONE)
    world.recorder.stop()

    assert world.kept() == []
    assert (world.recorder.stats.unanswered, world.recorder.stats.lost) == (1, {})
    world.spool.close()


@pytest.mark.anyio
async def test_megabytes_that_take_their_time_hold_up_no_shorter_request(tmp_path: Path) -> None:
    world = World(tmp_path, max_bytes=1 << 24)
    released = threading.Event()
    for _ in range(THREADS):
        world.recorder.lane(LARGEST_IN_FAST_LANE + 1).submit(released.wait, 30)

    await pass_by(world.capture(), LONG_REQUEST, REPLY)
    await asyncio.wait_for(world.recorder.settled(), 20)

    assert len(world.kept()) == 1
    assert not released.is_set()
    released.set()
    world.spool.close()


@pytest.mark.anyio
async def test_until_scanners_are_made_no_prompt_is_redacted_in_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    made, threads = threading.Event(), []
    redact = Redactor.__call__

    def noting(self: Redactor, value: Any) -> Any:
        threads.append(threading.current_thread())
        return redact(self, value)

    monkeypatch.setattr("forge_collector.recorder.scanner", lambda: made.wait(30))
    monkeypatch.setattr(Redactor, "__call__", noting)
    world.recorder.warm_up()

    await pass_by(world.capture(), REQUEST, REPLY)
    made.set()
    await asyncio.wait_for(world.recorder.settled(), 30)
    assert threads[0] is not threading.main_thread()

    assert world.recorder._warming is not None
    await asyncio.wrap_future(world.recorder._warming)
    threads.clear()
    await pass_by(world.capture(), REQUEST, REPLY)
    assert set(threads) == {threading.main_thread()}
    assert len(world.kept()) == 2
    world.spool.close()
