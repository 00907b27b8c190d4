"""What a route can say: refuse, look at the body first, rewrite it, mend an upstream's error."""

from __future__ import annotations

import asyncio
import json

import pytest

from forge_common.errors import Forbidden, NotFound
from forge_common.http.proxy import Dialect, Forward, Limits, NeedsBody, Refuse

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nX-Kept: 1\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: x\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
)


def deciding(decide, **options):
    return lambda _: NeedsBody(decide, **options)


async def test_a_refusal_is_in_the_callers_dialect_and_keeps_the_connection(bench):
    error = Forbidden("this key may not do that", code="forbidden", fix="ask for another")

    def route(head):
        dialects = {"/a": Dialect.ANTHROPIC, "/o": Dialect.OLLAMA}
        return Refuse.of(error, dialects.get(head.path, Dialect.OPENAI))

    client = await bench.client(await bench.proxy(route))
    replies = []
    for path in (b"/", b"/a", b"/o"):
        await client.send(POST.replace(b"POST /", b"POST " + path))
        replies.append(await client.reply("POST"))

    text = "this key may not do that. Ask for another"
    assert [reply.status for reply in replies] == [403] * 3
    assert [json.loads(reply.body) for reply in replies] == [
        {"error": {"message": text, "type": "permission_error", "param": None, "code": "forbidden"}},
        {"type": "error", "error": {"type": "permission_error", "message": text}},
        {"error": text},
    ]


async def test_a_refusal_to_head_has_no_body(bench):
    client = await bench.client(await bench.proxy(lambda _: Refuse(404, b"gone")))

    for _ in range(2):
        await client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = await client.reply("HEAD")
        assert (reply.status, reply.get(b"content-length"), reply.body) == (404, b"4", b"")


async def test_an_error_that_a_route_raises_is_its_refusal(bench):
    def route(_):
        raise NotFound("no such thing", code="thing_missing")

    reply = await bench.ask(await bench.proxy(route), POST, method="POST")

    assert reply.status == 404
    assert json.loads(reply.body)["error"]["code"] == "thing_missing"


async def test_a_bug_in_a_route_is_a_500_that_says_nothing_of_it(bench):
    def route(_):
        raise RuntimeError("secret")

    client = await bench.client(await bench.proxy(route))
    for _ in range(2):
        await client.send(POST)
        reply = await client.reply("POST")
        assert reply.status == 500
        assert b"secret" not in reply.body


async def test_a_header_with_a_line_break_is_never_sent(bench):
    origin = await bench.answering(OK)

    def route(head):
        evil = ((b"X", b"a\r\nSet-Cookie: b"),)
        if head.path == "/in":
            return Forward(upstream=origin.upstream, target=b"/", headers=evil)
        return Forward(upstream=origin.upstream, target=b"/", response_headers=evil)

    proxy = await bench.proxy(route)

    assert (await bench.ask(proxy, b"GET /in HTTP/1.1\r\nHost: x\r\n\r\n")).status == 500
    assert (await bench.ask(proxy, b"GET /out HTTP/1.1\r\nHost: x\r\n\r\n")).status == 500
    assert origin.asked == []


@pytest.mark.parametrize("request_bytes", [POST, CHUNKED], ids=["with a length", "chunked"])
async def test_a_body_can_be_rewritten_and_its_length_follows(bench, request_bytes):
    origin = await bench.answering(OK)

    def decide(body):
        return Forward(upstream=origin.upstream, target=b"/new", body=body * 2)

    client = await bench.client(await bench.proxy(deciding(decide)))
    for _ in range(2):
        await client.send(request_bytes)
        assert (await client.reply("POST")).body == b"ok"

    assert origin.asked[1].line == b"POST /new HTTP/1.1"
    assert origin.asked[1].body == b"abcabc"
    assert origin.asked[1].headers[1:] == [(b"X-Kept", b"1"), (b"Content-Length", b"6")]


async def test_a_body_that_was_only_looked_at_is_sent_as_it_came(bench):
    origin = await bench.answering(OK)
    tap = bench.RecordingTap()

    def decide(_):
        return Forward(upstream=origin.upstream, target=b"/", tap=tap)

    await bench.ask(await bench.proxy(deciding(decide)), POST, method="POST")

    assert origin.asked[0].body == b"abc"
    assert tap.joined("request_body") == b"abc"


async def test_a_collected_body_is_bounded(bench):
    def decide(_):
        raise AssertionError("not asked")

    proxy = await bench.proxy(deciding(decide, dialect=Dialect.OLLAMA), limits=Limits(collect_bytes=100))

    announced = await bench.ask(proxy, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n")
    grown = await bench.ask(
        proxy,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"20\r\n" + b"x" * 32 + b"\r\n"] * 4,
    )

    assert (announced.status, grown.status) == (413, 413)
    assert json.loads(grown.body) == {"error": "the request's body is over 100 bytes"}


async def test_a_client_that_expects_to_continue_is_told_to_when_its_body_is_needed(bench):
    origin = await bench.answering(OK)
    proxy = await bench.proxy(deciding(lambda _: Forward(upstream=origin.upstream, target=b"/")))
    client = await bench.client(proxy)

    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert await client.interim() == 100
    await client.send(b"abc")

    assert (await client.reply("POST")).body == b"ok"
    assert origin.asked[0].get(b"expect") is None


async def test_a_refusal_comes_at_once_to_a_client_that_waits_to_be_told_to_continue(bench):
    client = await bench.client(await bench.proxy(lambda _: Refuse(401, b"no")))

    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")

    assert (await client.reply("POST")).status == 401


async def test_an_error_raised_after_looking_at_the_body_is_the_refusal(bench):
    def decide(body):
        if body == b"abc":
            raise NotFound("no such model", code="model_not_found")
        raise RuntimeError("bug")

    proxy = await bench.proxy(deciding(decide))

    assert (await bench.ask(proxy, POST, method="POST")).status == 404
    assert (await bench.ask(proxy, POST.replace(b"abc", b"xyz"), method="POST")).status == 500


@pytest.mark.parametrize(
    ("upstream_reply", "status", "body"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nlong", 400, b"mended"),
        (
            b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nlo\r\n2\r\nng\r\n0\r\n\r\n",
            400,
            b"mended",
        ),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nother", 500, b"other"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nbugs", 500, b"bugs"),
        (b"HTTP/1.1 200 Fine\r\nContent-Length: 4\r\n\r\nlong", 200, b"long"),
    ],
)
async def test_an_upstreams_error_can_be_mended(bench, upstream_reply, status, body):
    def mend(code, headers, error):
        assert code == 500
        assert headers
        if error == b"bugs":
            raise RuntimeError("a bug in the mending")
        return Refuse(400, b"mended") if error == b"long" else None

    origin = await bench.answering(upstream_reply, OK)
    client = await bench.client(await bench.proxy(origin, rewrite_error=mend))

    await client.send(POST)
    first = await client.reply("POST")
    await client.send(POST)

    assert (first.status, first.body) == (status, body)
    assert (await client.reply("POST")).body == b"ok"


async def test_a_huge_error_passes_as_it_is(bench):
    size = 3 * 1024 * 1024
    origin = await bench.answering(b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    reply = await bench.ask(await bench.proxy(origin, rewrite_error=lambda *_: Refuse(400, b"mended")), POST)

    assert (reply.status, len(reply.body)) == (500, size)


async def test_an_upstream_that_dies_within_an_error_that_would_be_mended_is_a_502(bench):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\nabc")

    proxy = await bench.proxy(await bench.origin(handler), rewrite_error=lambda *_: Refuse(400, b"mended"))

    assert (await asyncio.wait_for(bench.ask(proxy, POST, method="POST"), 5)).status == 502
