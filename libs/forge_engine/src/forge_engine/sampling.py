"""Ollama's options as llama.cpp's parameters. Unknown options are ignored, as Ollama does; wrong types are refused."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from forge_common.errors import CallerError

# Ollama's name → llama.cpp's.
FLOATS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
INTEGERS = {
    "top_k": "top_k",
    "num_predict": "n_predict",
    "num_keep": "n_keep",
    "repeat_last_n": "repeat_last_n",
    "seed": "seed",
}
# Ollama's, but for repeat_penalty: its 1.1 changes what code a model writes even at temperature 0.
DEFAULTS: dict[str, JsonValue] = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
}
JSON_OBJECT: dict[str, JsonValue] = {"type": "object"}


class BadOption(CallerError):
    """Ollama answers 500 to an option of the wrong type and to an unknown format; so do we."""

    status = 500


def llama_parameters(*layers: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What `/completion` takes; later layers win over earlier ones and all over the defaults."""
    merged = DEFAULTS.copy()
    for layer in layers:
        merged |= {name: value for name, value in layer.items() if value is not None}
    sent: dict[str, JsonValue] = {}
    for name, value in merged.items():
        if name in FLOATS:
            sent[FLOATS[name]] = _number(name, value, "float32")
        elif name in INTEGERS:
            sent[INTEGERS[name]] = int(_number(name, value, "integer"))
        elif name == "stop":
            sent["stop"] = _strings(name, value)
    return sent


def context_length(default: int, trained: int, *layers: Mapping[str, JsonValue]) -> int:
    """Tokens of context: the last layer's num_ctx, never more than the model was trained for."""
    asked = [int(_number("num_ctx", layer["num_ctx"], "integer")) for layer in layers if layer.get("num_ctx")]
    wanted = asked[-1] if asked else default
    return max(1, min(wanted, trained) if trained else wanted)


def grammar(format_: JsonValue) -> dict[str, JsonValue]:
    """Constrains the answer: `"json"` to an object, a schema to the schema."""
    if format_ in (None, ""):
        return {}
    if format_ == "json":
        return {"json_schema": JSON_OBJECT}
    if isinstance(format_, dict):
        return {"json_schema": format_}
    raise BadOption(f'invalid format: {format_!r}; expected "json" or a valid JSON Schema object')


def _number(name: str, value: JsonValue, kind: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadOption(f'option "{name}" must be of type {kind}')
    return value


def _strings(name: str, value: JsonValue) -> JsonValue:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadOption(f'option "{name}" must be of an array of strings')
    return [text for text in texts if text]
