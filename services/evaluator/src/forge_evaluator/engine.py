"""Asking the engine: one chat completion at a time, and a model's digest. Says who is to blame for a failure.

An engine that does not answer is DependencyDown and ends the evaluation; one that refuses the request is EngineRefused;
one that breaks on a single answer, or is there and does not get it done, is AnswerFailed, which costs that sample only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx2
from pydantic import BaseModel, ConfigDict, JsonValue

from forge_common.errors import CallerError, DependencyDown, ForgeError
from forge_evaluator.scorers import Answered

_PAUSES_S = (0.5, 2.0, 5.0)
_AWAY = frozenset({502, 503, 504})
_NOT_FOUND = 404
_BROKE = 500


class EngineDown(DependencyDown):
    """The engine does not answer."""


class EngineRefused(CallerError):
    """The engine does not do what it was asked, e.g. it has no such model."""


class AnswerFailed(ForgeError):
    """The engine broke on this one answer, repeatedly."""


class Question(BaseModel):
    """Everything that determines an answer, but for the weights."""

    model_config = ConfigDict(frozen=True)

    model: str
    prompt: str
    temperature: float
    # Ollama's /v1 takes neither from the model, and draws from everything (1.0) where it is not told.
    top_p: float
    max_tokens: int
    seed: int
    # What was said after the prompt, by the model and to it in turn; practice asks again.
    turns: tuple[str, ...] = ()

    def body(self) -> dict[str, JsonValue]:
        """The system prompt is the deployed model's own, so none is sent."""
        said = (self.prompt, *self.turns)
        return {
            "model": self.model,
            "messages": [
                {"role": "assistant" if number % 2 else "user", "content": text}
                for number, text in enumerate(said)
            ],
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stream": False,
        }


class Engine:
    def __init__(self, url: str, *, timeout_s: float, pauses_s: Sequence[float] = _PAUSES_S) -> None:
        self.url = url.rstrip("/")
        self._pauses_s = pauses_s
        self._http = httpx2.AsyncClient(
            base_url=self.url, timeout=httpx2.Timeout(timeout_s, connect=5.0), trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, question: Question) -> Answered:
        """Raises EngineDown, EngineRefused, AnswerFailed."""
        response = await self._request("POST", "/v1/chat/completions", question.body())
        if response.status_code >= _BROKE:
            raise AnswerFailed(f"the engine broke on this answer: {_said(response)}")
        if not response.is_success:
            raise EngineRefused(
                f"the engine refused to answer as {question.model}: {_said(response)}",
                fix="is the version deployed? `forge status` says",
            )
        return _answered(response)

    async def digest(self, model: str) -> str | None:
        """None where the engine does not list digests. Raises EngineRefused when it lists models and not this one."""
        response = await self._request("GET", "/api/tags", None)
        if not response.is_success:
            return None
        known: dict[str, str | None] = {
            entry["name"]: entry.get("digest") for entry in response.json().get("models") or ()
        }
        name = model if ":" in model else f"{model}:latest"
        if name not in known:
            raise EngineRefused(
                f"the engine at {self.url} has no model {model}", fix="deploy the version before it is judged"
            )
        return known[name]

    async def _is_there(self) -> bool:
        try:
            await self._http.get("/api/version", timeout=5.0)
        except httpx2.TransportError:
            return False
        return True

    async def _request(self, method: str, path: str, body: dict[str, JsonValue] | None) -> httpx2.Response:
        """Try again while the engine is away or broken; a reply that is broken twice is returned, silence raises EngineDown.

        Raises AnswerFailed when the answer alone does not come: the engine is slow, or this question never ends.
        """
        broken: httpx2.Response | None = None
        late = 0
        for pause in (*self._pauses_s, None):
            try:
                response = await self._http.request(method, path, json=body)
            except httpx2.TransportError as error:
                late += isinstance(error, httpx2.ReadTimeout)
                if late > 1 and await self._is_there():
                    seconds = self._http.timeout.read
                    raise AnswerFailed(
                        f"the engine is there, but gave no answer within {seconds} s"
                    ) from error
                trouble = f"{type(error).__name__}: {error}"
            else:
                is_away = response.status_code in _AWAY
                # The same question breaks it the same way: one more try is enough.
                if response.status_code < _BROKE or (broken is not None and not is_away):
                    return response
                broken, trouble = (None if is_away else response), _said(response)
            if pause is not None:
                await asyncio.sleep(pause)
        raise EngineDown(
            f"the engine at {self.url} does not answer ({trouble})",
            fix="start it with `forge up`, then run again",
        )


def _answered(response: httpx2.Response) -> Answered:
    try:
        choice = response.json()["choices"][0]
        text = str(choice["message"].get("content") or "")
        finish_reason = choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise AnswerFailed(f"the engine's reply is no chat completion: {response.text[:200]}") from error
    # An answer that was cut inside a character may end in half of it, which no file takes.
    return Answered(text=text.encode("utf-8", "replace").decode("utf-8"), finish_reason=finish_reason)


def _said(response: httpx2.Response) -> str:
    return f"{response.status_code} {response.text[:200]}"
