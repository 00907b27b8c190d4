"""The bodies are what a real Ollama and llama.cpp's server answered."""

from __future__ import annotations

import json

import pytest

from forge_common.contracts.runs import Pointer, Pointers
from forge_gateway.catalogue import Catalogue
from forge_gateway.engine_errors import mend

CATALOGUE = Catalogue(
    Pointers(
        revision=1,
        pointers=(Pointer(domain="coding", prefix="engie-coder", live=3, model="engie-coder:v3"),),
    )
)
OVER = (
    '{"error":{"code":400,"message":"request (1224 tokens) exceeds the available context size (512 tokens), try '
    'increasing it","type":"exceed_context_size_error","n_prompt_tokens":1224,"n_ctx":512}}'
)


NOT_FOUND = '{"error":{"message":"model \'engie-coder:v3\' not found","type":"not_found_error","param":null,"code":null}}'


def mended(status, body, asked="engie-coder", model="engie-coder:v3"):
    refusal = mend(
        status,
        body.encode(),
        model=model,
        asked=asked,
        catalogue=CATALOGUE,
        added=((b"x-forge-model", b"engie-coder:v3"),),
    )
    return refusal and (refusal.status, json.loads(refusal.body)["error"])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, OVER),
        (400, json.dumps({"error": OVER})),
        (400, json.dumps({"error": {"message": OVER, "type": "invalid_request_error"}})),
        (500, json.dumps({"error": {"message": "No user query found in messages", "type": "api_error"}})),
        (400, json.dumps({"error": {"message": "This model's maximum context length is 4096 tokens."}})),
    ],
)
def test_a_prompt_over_the_context_has_one_code_in_whatever_disguise(status, body):
    answered, error = mended(status, body)

    assert (answered, error["code"]) == (400, "context_length_exceeded")
    assert error["type"] == "invalid_request_error"


def test_a_version_that_the_engine_lacks_is_named_as_it_was_asked_for():
    answered, error = mended(
        404, NOT_FOUND.replace("v3", "v9"), model="engie-coder:v9", asked="engie-coder:v9"
    )

    assert (answered, error["code"]) == (404, "model_not_found")
    assert "'engie-coder:v9'" in error["message"]
    assert "engie-coder:latest" in error["message"]


def test_a_live_version_that_the_engine_lost_is_told_as_such_with_the_way_back():
    answered, error = mended(404, NOT_FOUND)

    assert (answered, error["code"]) == (503, "model_not_ready")
    assert "forge promote 3 --domain coding" in error["message"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, '{"error":{"message":"invalid message content type: float64","type":"invalid_request_error"}}'),
        (501, '{"error":{"message":"This server does not support embeddings.","type":"api_error"}}'),
    ],
)
def test_an_error_in_the_right_shape_passes(status, body):
    assert mended(status, body) is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"error":"llama-server process has terminated"}', "llama-server process has terminated"),
        ("upstream connect error", "upstream connect error"),
        ("", "the engine gave no reason"),
        ("[]", "[]"),
    ],
)
def test_an_error_in_another_shape_is_put_into_the_right_one(body, text):
    assert mended(500, body) == (
        500,
        {"message": text, "type": "api_error", "param": None, "code": "engine_error"},
    )
