"""OpenAI's legacy completions: an exchange with one user message, which is the raw prompt, and an answer that goes on from it."""

from __future__ import annotations

from pydantic import JsonValue

from forge_collector.dialects.dialect import (
    AnswerReader,
    Asked,
    JsonObject,
    Unreadable,
    as_text,
    parse_object,
)
from forge_collector.dialects.openai.chat import NOT_SAMPLING, StreamedCompletion, WholeCompletion

_PROMPT = NOT_SAMPLING | {"prompt"}


class Completions:
    """`is_raw`: the upstream puts no chat template around the prompt; the exchange's `sampling.raw` says so."""

    def __init__(self, *, is_raw: bool = True) -> None:
        self._mark: JsonObject = {"raw": True} if is_raw else {}

    def asked(self, body: bytes) -> Asked:
        request = parse_object(body)
        return Asked(
            messages=[{"role": "user", "content": _prompt(request.get("prompt"))}],
            model=as_text(request.get("model")),
            sampling={key: value for key, value in request.items() if key not in _PROMPT} | self._mark,
        )

    def reader(self, content_type: str) -> AnswerReader:
        return StreamedCompletion() if "event-stream" in content_type else WholeCompletion()


def _prompt(prompt: JsonValue) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and all(isinstance(each, str) for each in prompt):
        raise Unreadable(f"the request has {len(prompt)} prompts, and an exchange has one")
    raise Unreadable("the prompt is not text")
