"""What a real Ollama was recorded to answer, held against the engine: status, content type, field names and types, error texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .conftest import Fixtures

pytestmark = pytest.mark.integration
CASES = [
    case
    for file in sorted((Path(__file__).parent / "cases").glob("*.json"))
    for case in json.loads(file.read_text())
]
JSON_TYPES = {"string": str, "number": (int, float), "boolean": bool}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_the_engine_answers_as_recorded(case: dict[str, Any], http: httpx2.Client, models: Fixtures) -> None:
    reply = _send(http, models, case)

    assert reply.status_code == case["status"], reply.text
    if "content_type" in case:
        assert reply.headers["content-type"].partition(";")[0] == case["content_type"]
    documents = _documents(reply)
    for position, shape in (("first", 0), ("last", -1), ("shape", 0)):
        if position in case:
            _check_shape(documents[shape], case[position], position)
    if "error" in case:
        error = documents[-1]["error"]
        text = error["message"] if isinstance(error, dict) else error
        assert text == _filled(case["error"], models)
    for key, value in case.get("ends", {}).items():
        assert documents[-1][key] == value


def _send(http: httpx2.Client, models: Fixtures, case: dict[str, Any]) -> httpx2.Response:
    path = _filled(case["path"], models)
    if "upload" in case:
        return http.request(case["method"], path, content=models.files[case["upload"]].read_bytes())
    text = json.dumps(case["body"]) if "body" in case else case.get("text")
    if text is None:
        return http.request(case["method"], path)
    headers = {"content-type": "application/json"}
    return http.request(case["method"], path, content=_filled(text, models), headers=headers)


def _filled(text: str, models: Fixtures) -> str:
    for name, value in models.values().items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _documents(reply: httpx2.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def _check_shape(value: Any, shape: Any, at: str) -> None:
    """Every recorded field is there with its type; more fields may be."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), at
        assert shape.keys() <= value.keys(), f"{at}: missing {shape.keys() - value.keys()}"
        for key, inner in shape.items():
            _check_shape(value[key], inner, f"{at}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), at
        for item in value[:1] if shape else ():
            _check_shape(item, shape[0], f"{at}[0]")
    elif shape == "null":
        assert value is None, at
    else:
        assert isinstance(value, JSON_TYPES[shape]), f"{at} is {value!r}, not a {shape}"
