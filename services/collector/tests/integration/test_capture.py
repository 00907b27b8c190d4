"""The traffic through the collector is what it would be without it, and what passed is in Postgres."""

import hashlib
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

pytestmark = pytest.mark.integration


def ask(collector: Any, prompt: str, **more: Any) -> Any:
    return collector.sdk().chat.completions.create(
        model="teacher", messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": prompt}], **more
    )  # fmt: skip


def raw(base_url: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and the hash of the body, with nothing decoded in between."""
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(
        "POST",
        f"{parts.path}/chat/completions",
        json.dumps(body),
        {"content-type": "application/json", **headers},
    )
    reply = connection.getresponse()
    digest = hashlib.sha256(reply.read()).hexdigest()
    fields = {name.lower(): value for name, value in reply.getheaders()}
    connection.close()
    return reply.status, fields, digest


def test_the_sdk_gets_the_answer_and_the_exchange_is_kept(collector: Any, teacher: Any) -> None:
    reply = ask(collector, "hello", temperature=0.3, user="somebody")

    assert reply.choices[0].message.content == teacher.answer_to("hello")
    collector.drain()
    (exchange,) = collector.stored()
    assert exchange["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
    ]
    assert exchange["answer"] == {"role": "assistant", "content": teacher.answer_to("hello")}
    assert (exchange["model_asked"], exchange["model_served"]) == ("teacher", "teacher-2026")
    assert (exchange["domain"], exchange["origin"], exchange["dialect"]) == ("coding", "proxy", "openai")
    assert (exchange["finish_reason"], exchange["status"], exchange["complete"]) == ("stop", 200, True)
    assert exchange["sampling"] == {"temperature": 0.3}
    assert exchange["usage"] == {"prompt_tokens": 5, "completion_tokens": 7}
    assert 0 < exchange["first_byte_s"] <= exchange["total_s"] < 60


def test_a_stream_reaches_the_sdk_and_is_kept_whole(collector: Any, teacher: Any) -> None:
    stream = ask(collector, "stream me", stream=True, stream_options={"include_usage": True})

    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    assert text == teacher.answer_to("stream me")
    collector.drain()
    (exchange,) = collector.stored()
    assert exchange["answer"]["content"] == teacher.answer_to("stream me")
    assert (exchange["complete"], exchange["finish_reason"]) == (True, "stop")
    assert exchange["usage"]["completion_tokens"] == 7


@pytest.mark.parametrize(
    ("prompt", "stream"), [("plain", False), ("plain", True), ("gzip me", False), ("refuse me", False)]
)
def test_the_bytes_hash_the_same_with_and_without_the_collector(
    collector: Any, teacher: Any, prompt: str, stream: bool
) -> None:
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": prompt}], "odd": [1, {}]}
    headers = {"accept-encoding": "gzip", "authorization": "Bearer sk-x", "x-custom": "kept"}

    direct = raw(f"{teacher.url}/v1", body, **headers)
    through = raw(f"{collector.url}/v1", body, **headers)

    ignored = {"date", "server", "connection", "x-forge-exchange-id"}
    assert through[0] == direct[0]
    assert through[2] == direct[2]
    assert {k: v for k, v in through[1].items() if k not in ignored} == {
        k: v for k, v in direct[1].items() if k not in ignored
    }
    assert through[1]["x-forge-exchange-id"].startswith("ex_")
    (sent, sent_body), (forwarded, forwarded_body) = teacher.requests
    assert forwarded_body == sent_body
    assert {k.lower(): v for k, v in forwarded.items() if k.lower() not in ("host", "connection")} == {
        k.lower(): v for k, v in sent.items() if k.lower() not in ("host", "connection")
    }


def test_feedback_attaches_to_the_id_that_a_reply_carried_however_soon_it_comes(collector: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "rate me"}]}
    identity = raw(f"{collector.url}/v1", body)[1]["x-forge-exchange-id"]
    said = {"exchange_id": identity, "thumb": -1, "corrected": "what it should be", "note": "too short"}

    collector.api("POST", "feedback", json=said)

    collector.drain()
    view = collector.api("GET", f"exchanges/{identity}")
    assert view["exchange"]["messages"][-1]["content"] == "rate me"
    (kept,) = view["feedback"]
    assert {name: kept[name] for name in ("thumb", "corrected", "note")} == {
        name: said[name] for name in ("thumb", "corrected", "note")
    }


def test_a_compressed_reply_is_decoded_in_the_copy(collector: Any, teacher: Any) -> None:
    reply = ask(collector, "gzip please")

    collector.drain()
    (exchange,) = collector.stored()
    assert (
        exchange["answer"]["content"] == teacher.answer_to("gzip please") == reply.choices[0].message.content
    )


def test_an_error_passes_untouched_and_is_kept_with_its_status(collector: Any) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ask(collector, "refuse this")

    assert caught.value.response.headers["retry-after"] == "7"
    collector.drain()
    (exchange,) = collector.stored()
    assert (exchange["status"], exchange["answer"].get("content")) == (429, None)


def test_credentials_are_forwarded_and_written_nowhere(collector: Any, teacher: Any) -> None:
    ask(collector, "hello", extra_headers={"x-api-key": "canary-1", "cookie": "session=canary-2"})

    headers = {name.lower(): value for name, value in teacher.requests[0][0].items()}
    assert headers["authorization"] == "Bearer sk-caller-secret-0123456789abcdef"
    collector.drain()
    for canary in (b"caller-secret", b"canary-1", b"canary-2"):
        assert canary not in everything_written_by(collector)


def everything_written_by(collector: Any) -> bytes:
    files = [path.read_bytes() for path in collector.log.parent.rglob("*") if path.is_file()]
    return b"".join([*files, json.dumps(collector.stored()).encode()])


def test_secrets_and_personal_data_never_reach_the_disk(collector: Any, teacher: Any) -> None:
    key = "sk-proj-" + "aB3dE6gH" * 6
    reply = ask(collector, f"my key is {key} and my mail ann@mail.org")

    assert key in reply.choices[0].message.content
    assert key.encode() in teacher.requests[0][1]
    collector.drain()
    (exchange,) = collector.stored()
    assert exchange["messages"][-1]["content"] == "my key is <API_KEY_1> and my mail <EMAIL_1>"
    assert "<API_KEY_1>" in exchange["answer"]["content"]
    assert key.encode() not in everything_written_by(collector)


def test_domain_and_conversation_come_from_headers_or_the_path_and_are_not_forwarded(
    collector: Any, teacher: Any
) -> None:
    ask(collector, "one", extra_headers={"X-Forge-Domain": "legal", "X-Forge-Conversation": "talk-1"})
    client = openai.OpenAI(base_url=f"{collector.url}/d/finance/v1", api_key="x", max_retries=0)
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "two"}])
    client = openai.OpenAI(base_url=f"{collector.url}/openai/v1", api_key="x", max_retries=0)
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "three"}])

    collector.drain()
    assert [e["domain"] for e in collector.stored()] == ["legal", "finance", "coding"]
    assert collector.stored()[0]["conversation_id"] == "talk-1"
    assert not any(name.lower().startswith("x-forge") for headers, _ in teacher.requests for name in headers)


def test_turns_of_one_conversation_share_an_id_and_others_do_not(collector: Any) -> None:
    def turn(*contents: str) -> None:
        messages = [
            {"role": "assistant" if i % 2 else "user", "content": content}
            for i, content in enumerate(contents)
        ]
        collector.sdk().chat.completions.create(model="m", messages=messages)

    turn("hello")
    turn("hello", "hi", "and now?")
    turn("something else")

    collector.drain()
    first, second, other = (e["conversation_id"] for e in collector.stored())
    assert first == second != other


def test_other_paths_pass_through_uncaptured(collector: Any, teacher: Any) -> None:
    models = httpx2.get(f"{collector.url}/v1/models?limit=2")
    embeddings = httpx2.post(f"{collector.url}/v1/embeddings?x=%2F", json={"input": "text"})

    assert models.headers["x-upstream"] == "yes"
    assert embeddings.json() == {"path": "/v1/embeddings?x=%2F"}
    assert "x-forge-exchange-id" not in embeddings.headers
    collector.drain()
    assert collector.stored() == []


def test_a_path_of_no_dialect_says_where_to_point_the_client(collector: Any) -> None:
    reply = httpx2.get(f"{collector.url}/nothing/here")

    assert reply.status_code == 404
    assert "/v1" in reply.json()["error"]["message"]


@pytest.mark.parametrize("prompt", ["hang in the middle", "hang before the answer"])
def test_a_client_that_leaves_cancels_the_upstream(collector: Any, teacher: Any, prompt: str) -> None:
    is_stream = "middle" in prompt
    with pytest.raises(
        (openai.APITimeoutError, openai.APIConnectionError, httpx2.TimeoutException, Exception)
    ):
        for _ in ask(collector, prompt, stream=is_stream, timeout=1.0):
            pass

    assert teacher.hanging.is_set()
    assert teacher.gone.wait(30)
    collector.drain()
    kept = collector.stored()
    assert [e["complete"] for e in kept] == ([False] if is_stream else [])


def test_a_stream_whose_upstream_dies_is_kept_as_partial(collector: Any) -> None:
    with pytest.raises(Exception, match=r"(?i)incomplete|peer|closed|connection|protocol"):
        for _ in ask(collector, "die now", stream=True):
            pass

    collector.drain()
    (exchange,) = collector.stored()
    assert exchange["complete"] is False
    assert exchange["answer"]["content"].startswith("The answer to")


def test_a_body_that_is_no_request_passes_and_is_counted(collector: Any, teacher: Any) -> None:
    with httpx2.Client() as client, pytest.raises(httpx2.HTTPError):
        client.post(f"{collector.url}/v1/chat/completions", content=b"{not json").raise_for_status()

    assert teacher.requests[0][1] == b"{not json"


def test_prompts_with_nul_and_odd_characters_are_stored(collector: Any) -> None:
    ask(collector, "a\x00b \ufffe \U0001f600 \u2028")

    collector.drain()
    assert collector.stored()[0]["messages"][-1]["content"] == "a\x00b \ufffe \U0001f600 \u2028"


def test_a_prompt_of_eight_megabytes_passes_and_is_kept(collector: Any) -> None:
    prompt = "big " + "lorem ipsum dolor " * 450_000

    reply = ask(collector, prompt)

    assert reply.choices[0].message.content.startswith("The answer")
    collector.drain()
    assert collector.stored()[0]["messages"][-1]["content"] == prompt
