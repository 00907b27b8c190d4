"""Upstreams behind TLS: really verified, pooled, and cut when they die."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess

import pytest

from forge_common.http.proxy import Upstream

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl to make a certificate with"
)
pytestmark = [pytest.mark.anyio, pytest.mark.integration, needs_openssl]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def certificate(tmp_path):
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def served(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return {"ssl": context}


@pytest.fixture
def trusting(certificate):
    return ssl.create_default_context(cafile=str(certificate / "cert.pem"))


async def tls_proxy(bench, origin, host, context=None):
    from forge_common.http.proxy import Forward

    upstream = Upstream("https", host, origin.port)
    return await bench.proxy(lambda head: Forward(upstream=upstream, target=head.target), ssl_context=context)


async def test_a_trusted_upstream_is_spoken_to_and_its_connection_kept(bench, served, trusting):
    async def handler(peer):
        while True:
            await peer.request()
            await peer.send(OK)

    origin = await bench.origin(handler, **served)
    client = await bench.client(await tls_proxy(bench, origin, "localhost", trusting))

    for _ in range(3):
        await client.send(GET)
        assert (await client.reply()).body == b"ok"

    assert origin.connections == 1


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", True), ("localhost", False)])
async def test_a_certificate_for_another_name_or_of_nobody_is_a_502(bench, served, trusting, host, trusted):
    async def handler(peer):
        raise AssertionError("the request must not get there")

    origin = await bench.origin(handler, **served)
    proxy = await tls_proxy(bench, origin, host, trusting if trusted else None)

    assert (await bench.ask(proxy, GET)).status == 502


async def test_a_client_that_leaves_cancels_a_tls_upstream(bench, served, trusting):
    asked, left = asyncio.Event(), asyncio.Event()

    async def handler(peer):
        await peer.request()
        asked.set()
        if await peer.closed():
            left.set()

    origin = await bench.origin(handler, **served)
    client = await bench.client(await tls_proxy(bench, origin, "localhost", trusting))
    await client.send(GET)
    await asyncio.wait_for(asked.wait(), 5)

    client.abort()

    await asyncio.wait_for(left.wait(), 5)


async def test_a_large_reply_passes_tls_unchanged(bench, served, trusting):
    body = bytes(range(256)) * 40_000

    async def handler(peer):
        await peer.request()
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await peer.writer.drain()
        await peer.closed()

    origin = await bench.origin(handler, **served)

    assert (await bench.ask(await tls_proxy(bench, origin, "localhost", trusting), GET)).body == body
