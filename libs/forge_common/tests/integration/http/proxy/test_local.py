"""The ASGI app beside the proxied paths, asked by a real client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from forge_common.http.proxy import Forward, Local
from forge_common.http.proxy.local import LifespanFailed

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


class Note(BaseModel):
    text: str


def make_app(seen):  # noqa: C901  a row of small endpoints
    @asynccontextmanager
    async def lifespan(_):
        seen.append("up")
        yield {"greeting": "hello"}
        seen.append("down")

    app = FastAPI(lifespan=lifespan)

    @app.get("/greet/{name}")
    def greet(name: str, request: Request, q: str = ""):
        return {"text": f"{request.state.greeting} {name}", "q": q, "client": request.client.host}

    @app.post("/notes", status_code=201)
    def note(body: Note):
        return body

    @app.post("/length")
    async def length(request: Request):
        return sum([len(piece) async for piece in request.stream()])

    @app.get("/count")
    async def count():
        async def numbers():
            try:
                for number in range(1_000_000):
                    yield f"data: {number}\n\n"
                    await asyncio.sleep(0.01)
            finally:
                seen.append("stopped")

        return StreamingResponse(numbers(), media_type="text/event-stream")

    @app.get("/large")
    async def large():
        async def pieces():
            for _ in range(300):
                seen.append("piece")
                yield b"x" * 100_000

        return StreamingResponse(pieces())

    @app.get("/crash")
    def crash():
        raise RuntimeError("secret")

    @app.get("/crash-late")
    async def crash_late():
        async def pieces():
            yield b"abc"
            raise RuntimeError("secret")

        return StreamingResponse(pieces())

    @app.get("/empty", status_code=204)
    def empty():
        return None

    return app


@pytest.fixture
def seen():
    return []


@pytest.fixture
async def local(bench, seen):
    proxy = await bench.proxy(lambda _: Local(), asgi_app=make_app(seen))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}") as client:
        client.proxy = proxy
        yield client


async def test_a_request_gets_its_path_query_state_and_client(local):
    reply = await local.get("/greet/J%C3%BCrgen", params={"q": "a b"})

    assert reply.json() == {"text": "hello Jürgen", "q": "a b", "client": "127.0.0.1"}


async def test_a_body_goes_in_and_a_validation_error_comes_out(local):
    assert (await local.post("/notes", json={"text": "x"})).status_code == 201
    assert (await local.post("/notes", json={})).status_code == 422
    assert (await local.get("/nowhere")).status_code == 404
    assert (await local.get("/empty")).status_code == 204
    assert len(local.proxy._connections) == 1


async def test_a_large_upload_streams_in(local):
    async def pieces():
        for _ in range(200):
            yield b"x" * 50_000

    reply = await local.post("/length", content=pieces())

    assert reply.json() == 10_000_000


async def test_a_stream_comes_out_piece_by_piece_and_ends_when_its_client_leaves(local, seen):
    async with local.stream("GET", "/count") as reply:
        async for line in reply.aiter_lines():
            if line == "data: 3":
                break

    for _ in range(100):
        if "stopped" in seen:
            break
        await asyncio.sleep(0.02)
    assert "stopped" in seen


async def test_a_slow_reader_slows_the_app(local, seen):
    async with local.stream("GET", "/large") as reply:
        await asyncio.sleep(0.5)
        made = seen.count("piece")
        size = sum([len(piece) async for piece in reply.aiter_raw()])

    assert made < 200
    assert size == 30_000_000


async def test_a_crash_is_a_500_without_its_reason_and_the_connection_lives_on(local):
    for _ in range(2):
        reply = await local.get("/crash")
        assert reply.status_code == 500
        assert "secret" not in reply.text


async def test_a_crash_in_the_middle_is_seen_as_one(local):
    with pytest.raises(httpx2.RemoteProtocolError):
        await local.get("/crash-late")


async def test_pipelined_local_and_forwarded_requests_keep_their_order(bench, seen):
    origin = await bench.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def route(head):
        return Forward(upstream=origin.upstream, target=head.target) if head.path == "/up" else Local()

    client = await bench.client(await bench.proxy(route, asgi_app=make_app(seen)))
    await client.send(
        b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/greet/a", b"/up") * 5)
    )

    bodies = [(await client.reply()).body for _ in range(10)]

    assert [body == b"ok" for body in bodies] == [False, True] * 5


async def test_expect_continue_is_answered_when_the_app_reads(bench, seen):
    client = await bench.client(await bench.proxy(lambda _: Local(), asgi_app=make_app(seen)))
    head = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"

    await client.send(head)
    assert await client.interim() == 100
    await client.send(b"abc")

    assert (await client.reply("POST")).body == b"3"


async def test_the_lifespan_runs_once_up_and_once_down(bench, seen):
    proxy = await bench.proxy(lambda _: Local(), asgi_app=make_app(seen))
    assert seen == ["up"]

    await proxy.stop()

    assert seen == ["up", "down"]


async def test_an_app_that_refuses_to_start_stops_the_server_with_its_reason(bench):
    @asynccontextmanager
    async def lifespan(_):
        raise RuntimeError("no database")
        yield

    with pytest.raises(LifespanFailed, match="no database"):
        await bench.proxy(lambda _: Local(), asgi_app=FastAPI(lifespan=lifespan))


async def test_without_an_app_a_local_path_is_not_found(bench):
    reply = await bench.ask(await bench.proxy(lambda _: Local()), b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")

    assert reply.status == 404
