"""Replies that stream or not, and end when their reader does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import orjson
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from forge_common.errors import CallerError, ForgeError

T = TypeVar("T")
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


class CallerGone(CallerError):
    status = 499


class JsonReply(Response):
    """Content type as Ollama's native API has it."""

    media_type = "application/json; charset=utf-8"

    def __init__(self, body: JsonValue, status: int = 200) -> None:
        super().__init__(orjson.dumps(body), status_code=status)


def ndjson(body: JsonValue) -> bytes:
    return orjson.dumps(body) + b"\n"


def sse(body: JsonValue) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


async def streamed(
    request: Request,
    events: AsyncGenerator[T, None],
    encode: Callable[[T], bytes],
    *,
    broken: Callable[[ForgeError], bytes],
    media_type: str,
    end: bytes = b"",
) -> Response:
    """A stream of encoded events. What fails before the first one keeps its status; later errors become a line."""
    first = await unless_gone(request, _next(events))

    async def body() -> AsyncIterator[bytes]:
        async with aclosing(events):
            yield encode(first)
            try:
                async for event in events:
                    yield encode(event)
            except ForgeError as error:
                yield broken(error)
                return
            if end:
                yield end

    return StreamingResponse(body(), media_type=media_type)


async def collected(request: Request, events: AsyncIterator[T]) -> list[T]:
    """All events. Raises CallerGone as soon as nobody waits for them any more."""

    async def collect() -> list[T]:
        return [event async for event in events]

    return await unless_gone(request, collect())


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller hangs up."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CallerGone("the caller hung up")
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _next(events: AsyncIterator[T]) -> T:
    waiting: Awaitable[T] = anext(events)
    return await waiting
