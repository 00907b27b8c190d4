"""What the engine's client makes of replies that are easily misread. Real engines are asked in tests/contracts/engine."""

import json

import httpx2
import pytest

from forge_common.contracts.exchange import Message
from forge_common.engine import Engine, EngineRefused, EngineUnavailable

SHA = "0" * 64


def engine(reply, seen=None):
    def handle(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append((request.method, request.url.path, request.read()))
        return reply(request)

    return Engine("http://engine", transport=httpx2.MockTransport(handle))


def ndjson(*lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return lambda _: httpx2.Response(200, text=text)


def test_a_create_whose_stream_ends_without_success_has_failed():
    asked = engine(ndjson({"status": "parsing GGUF"}, {"status": "writing manifest"}))

    with pytest.raises(EngineRefused, match="writing manifest"):
        asked.create("m", gguf_sha=SHA)


def test_an_error_line_under_status_200_is_a_failure():
    asked = engine(ndjson({"status": "parsing GGUF"}, {"error": "supplied file was not in GGUF format"}))

    with pytest.raises(EngineRefused, match="not in GGUF format"):
        asked.create("m", gguf_sha=SHA)


def test_a_create_reports_its_statuses_and_never_sends_a_template():
    seen, statuses = [], []
    asked = engine(ndjson({"status": "parsing GGUF"}, {"status": "success"}), seen)

    asked.create(
        "m", from_="base", adapter_sha=SHA, system="s", parameters={"num_ctx": 1}, on_status=statuses.append
    )

    assert statuses == ["parsing GGUF", "success"]
    assert json.loads(seen[0][2]) == {
        "model": "m",
        "from": "base",
        "adapters": {"adapter.gguf": f"sha256:{SHA}"},
        "system": "s",
        "parameters": {"num_ctx": 1},
        "stream": True,
    }


def test_a_blob_that_the_engine_has_is_not_sent_again():
    seen = []
    engine(lambda _: httpx2.Response(200), seen).push_blob(SHA, [b"data"])

    assert [method for method, *_ in seen] == ["HEAD"]


def test_no_engine_is_told_apart_from_a_refusal():
    def refuse_connection(_):
        raise httpx2.ConnectError("refused")

    away = engine(refuse_connection)

    assert not away.is_up()
    with pytest.raises(EngineUnavailable, match="does not answer") as error:
        away.tags()
    assert error.value.retryable
    assert "forge up" in error.value.fix


def test_a_refusal_keeps_status_and_text():
    asked = engine(lambda _: httpx2.Response(404, json={"error": "model 'nope' not found"}))

    with pytest.raises(EngineRefused, match="model 'nope' not found") as error:
        asked.chat("nope", [Message(role="user", content="hi")])
    assert error.value.status == 404
    assert asked.delete("nope") is False


@pytest.mark.parametrize("spelling", ["Tiny", "tiny:latest", "TINY:LATEST"])
def test_a_tag_is_found_by_any_spelling(spelling):
    listed = {"models": [{"name": "tiny:latest", "digest": "d", "size": 1}]}
    asked = engine(lambda _: httpx2.Response(200, json=listed))

    assert asked.tag(spelling).digest == "d"
    assert asked.tag("tiny:v1") is None


def test_tool_calls_are_sent_in_ollamas_shape():
    seen = []
    reply = {"message": {"content": "ok"}, "done_reason": "stop"}
    asked = engine(lambda _: httpx2.Response(200, json=reply), seen)
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}

    asked.chat("m", [Message(role="assistant", content=None, tool_calls=(call,))])

    (message,) = json.loads(seen[0][2])["messages"]
    assert message == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
    }
