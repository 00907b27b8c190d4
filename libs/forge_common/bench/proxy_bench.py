"""CPU per request of the proxy core beside its peers, in the same run against the same upstream.

Peers that are not installed (nginx, aiohttp) are left out and named. The load comes from wrk where it is installed, else
from the small client below. CPU time is steady where latency on a busy machine is not, so it is what is reported.

    python libs/forge_common/bench/proxy_bench.py [--seconds 5] [--connections 16] [--json]
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import uvloop
from httptools import HttpRequestParser

from forge_common.local.process import free_port
from forge_common.testing.peers import cpu_seconds, full_load, load_name, nginx, nginx_path, serving

REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795336481,
        "model": "engie-nano:v1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "x" * 400}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(REPLY)
BODY = json.dumps({"model": "engie-nano", "messages": [{"role": "user", "content": "y" * 800}]}).encode()
REQUEST_HEADERS = {
    "Content-Type": "application/json",
    "Authorization": "Bearer sk-bench",
    "Accept": "application/json",
    "User-Agent": "OpenAI/Python 3.0.0",
}
PATH = "/v1/chat/completions"


# The upstream that all peers share


class Origin(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.transport.write(HEAD + REPLY)


def serve_origin(port: int, _: int) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(main())


# The peers


def serve_forge(port: int, origin: int) -> None:
    from forge_common.http.proxy import Forward, ProxyServer, RequestHead, Upstream

    upstream = Upstream.parse(f"http://127.0.0.1:{origin}")

    def route(head: RequestHead) -> Forward:
        return Forward(
            upstream=upstream, target=head.target, response_headers=((b"x-forge-exchange", b"ex_1"),)
        )

    ProxyServer(route).run("127.0.0.1", port)


class CountingTap:
    """What a capture does at least: it keeps the pieces."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def on_request_head(self, head: Any) -> None: ...

    def on_request_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_response_head(self, status: int, headers: Any) -> None: ...

    def on_response_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def before_last_byte(self) -> None: ...

    def on_abort(self, reason: Any) -> None: ...


def serve_forge_tapped(port: int, origin: int) -> None:
    from forge_common.http.proxy import Forward, ProxyServer, RequestHead, Upstream

    upstream = Upstream.parse(f"http://127.0.0.1:{origin}")

    def route(head: RequestHead) -> Forward:
        return Forward(upstream=upstream, target=head.target, tap=CountingTap())

    ProxyServer(route).run("127.0.0.1", port)


def serve_asgi(port: int, make_app: Callable[[str], Any]) -> None:
    import uvicorn

    uvicorn.run(make_app(""), host="127.0.0.1", port=port, log_level="error", access_log=False)


async def read_body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def kept(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in (b"host", b"content-length")]


def serve_aiohttp(port: int, origin: int) -> None:
    import aiohttp

    session: Any = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal session
        if scope["type"] == "lifespan":
            return
        session = session or aiohttp.ClientSession()
        url = f"http://127.0.0.1:{origin}{scope['path']}"
        headers = {name.decode(): value.decode() for name, value in kept(scope["headers"])}
        async with session.post(url, data=await read_body(receive), headers=headers) as reply:
            await send(
                {"type": "http.response.start", "status": reply.status, "headers": list(reply.raw_headers)}
            )
            async for piece in reply.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})

    serve_asgi(port, lambda _: app)


def serve_httpx2(port: int, origin: int) -> None:
    import httpx2

    client = httpx2.AsyncClient()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        url = f"http://127.0.0.1:{origin}{scope['path']}"
        headers = kept(scope["headers"])
        async with client.stream("POST", url, content=await read_body(receive), headers=headers) as reply:
            await send(
                {
                    "type": "http.response.start",
                    "status": reply.status_code,
                    "headers": list(reply.headers.raw),
                }
            )
            async for piece in reply.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})

    serve_asgi(port, lambda _: app)


SERVERS: dict[str, Callable[[int, int], None]] = {
    "origin": serve_origin,
    "forge": serve_forge,
    "forge + tap": serve_forge_tapped,
    "asgi + aiohttp": serve_aiohttp,
    "asgi + httpx2": serve_httpx2,
}


# Running and measuring


def missing(name: str) -> str | None:
    if name == "nginx" and nginx_path() is None:
        return "nginx is not installed"
    module = {"asgi + aiohttp": "aiohttp", "asgi + httpx2": "httpx2"}.get(name)
    if module and importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    return None


@contextmanager
def running(name: str, origin: int) -> Iterator[tuple[int, psutil.Process]]:
    if name == "nginx":
        with nginx(origin) as peer:
            yield peer
        return
    port = free_port()
    command = [sys.executable, __file__, "--serve", name, str(port), str(origin)]
    with (
        tempfile.NamedTemporaryFile(suffix=".log") as log,
        serving(command, port, log=Path(log.name)) as process,
    ):
        yield port, process


def measure(name: str, origin: int, seconds: float, connections: int) -> dict[str, Any]:
    with running(name, origin) as (port, process):

        def load(seconds: float) -> tuple[int, int]:
            return full_load(port, PATH, REQUEST_HEADERS, BODY, seconds=seconds, connections=connections)

        load(min(1.0, seconds))
        before, began = cpu_seconds(process), time.monotonic()
        requests, errors = load(seconds)
        used, took = cpu_seconds(process) - before, time.monotonic() - began
        rss = process.memory_info().rss
    return {
        "peer": name,
        "requests": requests,
        "errors": errors,
        "cpu_us_per_request": round(used / max(requests, 1) * 1e6, 1),
        "requests_per_s": round(requests / took),
        "rss_mb": round(rss / 1e6, 1),
    }


def compare(seconds: float, connections: int) -> list[dict[str, Any]]:
    rows = []
    with running("origin", 0) as (origin, _):
        for name in ("nginx", "forge", "forge + tap", "asgi + aiohttp", "asgi + httpx2"):
            reason = missing(name)
            row = (
                {"peer": name, "left_out": reason} if reason else measure(name, origin, seconds, connections)
            )
            rows.append(row)
    base = next(row["cpu_us_per_request"] for row in rows if row["peer"] == "forge")
    for row in rows:
        if "cpu_us_per_request" in row:
            row["ratio_to_forge"] = round(row["cpu_us_per_request"] / base, 2)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=3, metavar=("NAME", "PORT", "ORIGIN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        name, port, origin = options.serve
        SERVERS[name](int(port), int(origin))
        return
    rows = compare(options.seconds, options.connections)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{options.connections} connections, load by {load_name()}, {os.cpu_count()} cores, not streaming")
    print(f"{'proxy':<16}{'µs CPU/request':>16}{'of forge':>10}{'requests/s':>12}{'RSS MB':>8}")
    for row in rows:
        if "left_out" in row:
            print(f"{row['peer']:<16}  left out: {row['left_out']}")
        else:
            figures = (row["cpu_us_per_request"], row["ratio_to_forge"], row["requests_per_s"], row["rss_mb"])
            print(f"{row['peer']:<16}{figures[0]:>16}{figures[1]:>10}{figures[2]:>12}{figures[3]:>8}")
        if row.get("errors"):
            raise SystemExit(f"{row['peer']} answered {row['errors']} requests with an error")


if __name__ == "__main__":
    main()
