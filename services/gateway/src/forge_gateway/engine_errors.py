"""What the engine's errors mean to a client of OpenAI's API. Pure.

A prompt over the context comes back from engines in several disguises; clients look for one code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from forge_common.errors import CallerError, ForgeError
from forge_common.http.proxy import Header, Refuse
from forge_gateway.catalogue import Catalogue

_TOO_LONG = re.compile(
    r"exceed_context_size|exceeds the available context size|context_length_exceeded|maximum context length"
    # An engine that drops old messages to fit may drop all of them, and then misses the question (HTTP 500).
    r"|no user query",
    re.IGNORECASE,
)
_NOT_FOUND = 404


class PromptTooLong(CallerError):
    """The conversation does not fit into the model's context."""


def mend(
    status: int, body: bytes, *, model: str, asked: str | None, catalogue: Catalogue, added: Sequence[Header]
) -> Refuse | None:
    """The reply to give instead; None where the engine's own is good."""
    text, is_openai_shaped = _message(body)
    if _TOO_LONG.search(text):
        return Refuse.of(_too_long(text), headers=added)
    if status == _NOT_FOUND and model in text:
        return Refuse.of(catalogue.lost(model) or catalogue.not_found(asked or model), headers=added)
    if is_openai_shaped:
        return None
    return Refuse.of(ForgeError(text, code="engine_error", status=status), headers=added)


def _message(body: bytes) -> tuple[str, bool]:
    """The error's text, and whether it is in OpenAI's shape. Ollama nests a JSON text in a string for some."""
    try:
        error = orjson.loads(body)["error"]
        if isinstance(error, dict):
            return str(error["message"]), True
        text = str(error)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()[:500] or "the engine gave no reason", False
    return (_message(text.encode())[0] if text.startswith("{") else text), False


def _too_long(text: str) -> PromptTooLong:
    return PromptTooLong(
        f"the prompt is longer than the model's context: {text}",
        code="context_length_exceeded",
        fix="send fewer or shorter messages, or raise `ollama.num_ctx` of the domain and deploy again",
    )
