"""Starting, refusing to start, keys, and going on while something else is down."""

from __future__ import annotations

import socket

import httpx2
import openai
import pytest

pytestmark = pytest.mark.integration


def ask(client):
    return client.chat.completions.create(model="engie-coder", messages=[{"role": "user", "content": "hi"}])


def test_with_keys_it_asks_for_one_everywhere_but_at_its_health(world):
    world.up(world.engine)
    world.up(world.registry)
    (world.home / "api-keys.txt").write_text("from-file\n")
    gateway = world.gateway(FORGE_API_KEYS="from-env,second")
    world.eventually(lambda: httpx2.get(f"{gateway.url}/health").json()["registry"] == "ok")

    def status(path, **headers):
        return httpx2.get(f"{gateway.url}{path}", headers=headers).status_code

    assert httpx2.get(f"{gateway.url}/health").json()["auth_required"] is True
    assert [status(path) for path in ("/v1/models", "/v1/domains", "/metrics", "/openapi.json", "/x")] == [
        401
    ] * 5
    assert status("/v1/models", authorization="Bearer wrong") == 401
    assert status("/v1/models", authorization="Bearer from-file") == 200
    assert status("/v1/models", **{"x-api-key": "second"}) == 200
    with pytest.raises(openai.AuthenticationError) as refused:
        ask(openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="wrong"))
    assert refused.value.code == "invalid_api_key"
    assert ask(openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="from-env")).model == "engie-coder:v1"


def test_it_does_not_start_for_everybody_without_keys(world):
    code, errors = world.refused(FORGE_GATEWAY_BIND="0.0.0.0")

    assert code == 1
    assert "FORGE_API_KEYS" in errors
    assert "Traceback" not in errors


def test_a_taken_port_is_said_in_one_line(world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = world.refused(FORGE_GATEWAY_PORT=str(port))

    assert code == 1
    assert f"127.0.0.1:{port}" in errors
    assert "Traceback" not in errors


def test_without_an_engine_it_says_what_to_do_and_answers_again_once_there_is_one(world):
    world.up(world.registry)
    gateway = world.gateway()
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)
    world.eventually(lambda: httpx2.get(f"{gateway.url}/v1/domains").json()["data"])

    assert httpx2.get(f"{gateway.url}/health").status_code == 503
    assert [model.id for model in client.models.list()] == ["engie-coder:latest"]
    with pytest.raises(openai.InternalServerError) as refused:
        ask(client)
    assert (refused.value.status_code, refused.value.code) == (503, "engine_down")
    assert "forge up" in refused.value.message

    world.up(world.engine)
    assert ask(client).model == "engie-coder:v1"
    assert httpx2.get(f"{gateway.url}/health").json()["status"] == "ok"


def test_it_serves_by_its_memory_while_the_registry_is_away(world):
    world.up(world.engine)
    with world.until_left(world.registry):
        first = world.gateway()
        client = openai.OpenAI(base_url=f"{first.url}/v1", api_key="unused", max_retries=0)
        world.eventually(lambda: httpx2.get(f"{first.url}/health").json()["registry"] == "ok")
    world.eventually(lambda: httpx2.get(f"{first.url}/health").json()["registry"] == "away")

    assert ask(client).model == "engie-coder:v1"
    assert httpx2.get(f"{first.url}/health").status_code == 200

    second = world.gateway()
    assert ask(openai.OpenAI(base_url=f"{second.url}/v1", api_key="unused")).model == "engie-coder:v1"

    world.registry.promote("coding", 2)
    world.up(world.registry)
    assert world.eventually(lambda: ask(client).model == "engie-coder:v2") < 10
