"""The door for other machines: takes TLS on its own ports and passes the bytes on to the parts on loopback, which stay as they are.

Wheels of Redis and Valkey have no TLS, and none of the services has to know about it this way. Checks no keys: they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from forge_common.logging import configure, get_logger
from forge_common.settings import CommonSettings

log = get_logger()

BLOCK = 1 << 16
HANDSHAKE_S = 10.0


def make_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate)
    return context


async def open_door(host: str, ports: Mapping[int, int], context: ssl.SSLContext) -> list[asyncio.Server]:
    """Listen on `host` at each key of `ports`, and pass on to loopback at its value."""
    return [
        await asyncio.start_server(
            _passing_to(inner), host, outer, ssl=context, ssl_handshake_timeout=HANDSHAKE_S
        )
        for outer, inner in ports.items()
    ]


def _passing_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            log.warning("door.nobody_home", port=port, reason=str(error))
            writer.close()
            return
        # TLS has no half-closed connections: when one side is done, so is the other.
        ways = {
            asyncio.create_task(_pump(reader, inner_writer)),
            asyncio.create_task(_pump(inner_reader, writer)),
        }
        _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in left:
            way.cancel()
        for each in (inner_writer, writer):
            with contextlib.suppress(OSError):
                each.close()

    return serve


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()


async def _run(host: str, ports: Mapping[int, int], context: ssl.SSLContext) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    servers = await open_door(host, ports, context)
    log.info("door.open", ports=list(ports))
    await stopped.wait()
    for server in servers:
        server.close()


def main() -> None:
    """FORGE_DOOR is `{"host": …, "certificate": …, "ports": {outer: inner}}`."""
    configure("door", CommonSettings(log_format="console"))
    plan = json.loads(os.environ["FORGE_DOOR"])
    ports = {int(outer): int(inner) for outer, inner in plan["ports"].items()}
    asyncio.run(_run(plan["host"], ports, make_context(Path(plan["certificate"]))))


if __name__ == "__main__":
    main()
