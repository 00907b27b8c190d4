"""The gateway as clients know it: by the official OpenAI SDK and by plain HTTP."""

from __future__ import annotations

import json
import time

import httpx2
import openai
import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def world(standing):
    world, gateway = standing
    world.reset(gateway)
    return world


@pytest.fixture
def gateway(standing):
    return standing[1]


@pytest.fixture
def client(gateway, world):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)


def ask(client, model="engie-coder", content="hi", **more):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}], **more
    )


def test_the_live_version_answers_under_the_moving_name(client, world):
    raw = client.chat.completions.with_raw_response.create(
        model="engie-coder:latest",
        messages=[{"role": "system", "content": "S"}, {"role": "user", "content": "grüß 🙂"}],
        temperature=0.5,
        extra_body={"seed": 7},
    )
    reply = raw.parse()

    assert reply.choices[0].message.content == "echo: grüß 🙂"
    assert reply.model == "engie-coder:v1"
    assert reply.usage.total_tokens == 5
    assert raw.headers["x-forge-model"] == "engie-coder:v1"
    assert world.engine.asked[-1] == {
        "model": "engie-coder:v1",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "grüß 🙂"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
    }


@pytest.mark.parametrize("model", ["engie-coder", "engie-coder:v2"])
def test_a_request_without_sampling_gets_the_models_own_which_ollama_would_ignore(client, world, model):
    ask(client, model=model)
    ask(client, model=model, temperature=0.0, top_p=1.0)
    ask(client, model=model, extra_body={"temperature": None})
    client.completions.create(model=model, prompt="a")

    sent = [(asked["temperature"], asked["top_p"]) for asked in world.engine.asked]
    assert sent == [(0.7, 0.9), (0.0, 1.0), (0.7, 0.9), (0.7, 0.9)]
    assert not any("num_ctx" in asked for asked in world.engine.asked)


def test_no_system_message_is_added(client, world):
    ask(client)

    assert [message["role"] for message in world.engine.asked[-1]["messages"]] == ["user"]


def test_a_stream_arrives_piece_by_piece(client):
    stream = ask(client, content="abc", stream=True)

    pieces = [chunk.choices[0].delta.content for chunk in stream]

    assert pieces == ["echo:", " ", "a", "b", "c"]
    assert stream.response.headers["x-forge-model"] == "engie-coder:v1"


def test_a_client_that_stops_reading_stops_the_engine(client, world):
    stream = ask(client, stream=True, max_tokens=9999)
    next(iter(stream))

    stream.close()

    assert world.engine.stopped.wait(5)


def test_an_explicit_version_is_asked_for_itself(client):
    assert ask(client, model="engie-coder:v2").model == "engie-coder:v2"


def test_completions_and_embeddings_pass(client, world):
    completion = client.completions.create(model="engie-coder", prompt="a")

    assert completion.choices[0].text == "a!"
    with pytest.raises(openai.InternalServerError) as refused:
        client.embeddings.create(model="engie-coder", input="a")
    assert refused.value.status_code == 501
    assert world.engine.asked[-1]["model"] == "engie-coder:v1"
    assert "temperature" not in world.engine.asked[-1]


def test_the_domain_field_selects_the_model_and_is_not_sent_on(gateway, world):
    body = {"domain": "coding", "messages": [{"role": "user", "content": "hi"}]}

    reply = httpx2.post(f"{gateway.url}/v1/chat/completions", json=body)

    assert reply.json()["model"] == "engie-coder:v1"
    assert "domain" not in world.engine.asked[-1]


@pytest.mark.parametrize("model", ["gpt-4o", "llama3", "llama3:latest", "engie-coder:V1", "../engie-coder"])
def test_a_model_that_is_not_ours_is_a_404_that_names_what_exists(client, world, model):
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, model=model)

    assert refused.value.code == "model_not_found"
    assert "engie-coder:latest" in refused.value.message
    assert world.engine.asked == []


def test_a_version_that_is_not_deployed_is_a_404_that_names_what_exists(client):
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, model="engie-coder:v9")

    assert refused.value.code == "model_not_found"
    assert "'engie-coder:v9'" in refused.value.message


def test_a_prompt_over_the_context_is_told_as_such(client):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, content="too long", stream=stream)
        assert refused.value.code == "context_length_exceeded"
        assert "1224 tokens" in refused.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"model": 3}', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_400(gateway, body):
    reply = httpx2.post(f"{gateway.url}/v1/chat/completions", content=body)

    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_models_and_domains_are_listed(client, gateway):
    models = {model.id: model for model in client.models.list()}
    domains = httpx2.get(f"{gateway.url}/v1/domains").json()

    assert list(models) == ["engie-coder:latest", "engie-coder:v1", "engie-coder:v2"]
    assert client.models.retrieve("engie-coder").root == "engie-coder:v1"
    assert domains["data"] == [
        {"id": "coding", "model": "engie-coder:latest", "live": "engie-coder:v1", "version": 1}
    ]
    for missing in ("engie-coder:v9", "llama3:latest"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(missing)


def test_what_is_not_served_is_an_openai_shaped_error(gateway):
    missing = httpx2.get(f"{gateway.url}/v1/nothing")
    wrong = httpx2.get(f"{gateway.url}/v1/chat/completions")

    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_no_web_page_may_use_it(gateway, world):
    body = json.dumps({"model": "engie-coder", "messages": [{"role": "user", "content": "hi"}]})

    page = httpx2.post(
        f"{gateway.url}/v1/chat/completions", content=body, headers={"origin": "https://evil.example"}
    )
    rebound = httpx2.get(f"{gateway.url}/v1/models", headers={"host": "evil.example"})
    allowed = httpx2.get(f"{gateway.url}/v1/models")

    assert (page.status_code, rebound.status_code) == (403, 403)
    assert "access-control-allow-origin" not in allowed.headers
    assert world.engine.asked == []


def test_the_callers_credentials_end_here(gateway, world):
    headers = {"authorization": "Bearer sk-mine", "x-api-key": "k", "cookie": "c=1", "x-trace": "t"}
    body = {"model": "engie-coder", "messages": [{"role": "user", "content": "hi"}]}

    httpx2.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers)

    sent = world.engine.headers[-1]
    assert sent["x-trace"] == "t"
    assert not {"authorization", "x-api-key", "cookie"} & set(sent)


def test_a_promotion_is_followed_within_a_second_also_by_open_connections(client, world):
    assert ask(client).model == "engie-coder:v1"

    took_s = []
    for version in (2, 1, 2):
        world.registry.promote("coding", version)
        took_s.append(world.eventually(lambda v=version: ask(client).model == f"engie-coder:v{v}"))

    # What a busy machine adds is not of every time.
    assert min(took_s) < 1.0


def test_a_new_domain_is_served_when_it_appears_and_refused_until_it_is_deployed(client, world):
    world.engine.models.append("engie-legal:v0")
    world.registry.live["legal"] = None
    world.registry.revision += 1

    def code():
        with pytest.raises(openai.APIStatusError) as refused:
            ask(client, model="engie-legal")
        return refused.value.code

    world.eventually(lambda: code() == "model_not_ready")
    world.registry.promote("legal", 0)
    world.eventually(
        lambda: httpx2.get(f"{client.base_url}domains").json()["data"][1]["live"] == "engie-legal:v0"
    )

    assert ask(client, model="engie-legal").model == "engie-legal:v0"


def test_the_long_poll_is_not_a_busy_one(world):
    polls = world.registry.polls
    time.sleep(1)

    assert world.registry.polls - polls <= 1
