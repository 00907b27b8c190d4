"""One answer of one model, in pieces: what every inference endpoint stands on.

The prompt is rendered by llama.cpp with the GGUF's own chat template, and completed as plain text: no parser stands
between the model and the caller that could fail on what the model says.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
from pydantic import JsonValue

from forge_engine.errors import BadRequest, RunnerFailed
from forge_engine.pool import Pool, Wanted
from forge_engine.process import RunnerProcess

ChatTurn = dict[str, JsonValue]
HTTP_OK = 200
BAD_REQUESTS = range(400, 500)


@dataclass(frozen=True)
class TokenLogprob:
    token: str
    logprob: float
    bytes: tuple[int, ...]
    top: tuple[TokenLogprob, ...] = ()

    def document(self) -> dict[str, JsonValue]:
        """The same under `/api` and `/v1`."""
        own: dict[str, JsonValue] = {"token": self.token, "logprob": self.logprob, "bytes": list(self.bytes)}
        return own | ({"top_logprobs": [one.document() for one in self.top]} if self.top else {})


@dataclass(frozen=True)
class Piece:
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finish:
    """`reason` is `stop` or `length`. Durations are nanoseconds, the load included in the total."""

    reason: str
    prompt_tokens: int
    completion_tokens: int
    total_ns: int
    load_ns: int
    prompt_ns: int
    completion_ns: int


@dataclass(frozen=True)
class Ask:
    """One request. `prompt` is taken as it is; with `messages` it is what the chat template makes of them."""

    wanted: Wanted
    keep_alive_s: float | None = None
    messages: Sequence[ChatTurn] | None = None
    prompt: str = ""
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    # None: no log-probabilities; 0: only those of the chosen tokens.
    top_logprobs: int | None = None


async def load(pool: Pool, ask: Ask) -> None:
    async with pool.lease(ask.wanted, ask.keep_alive_s):
        pass


async def answer(pool: Pool, ask: Ask) -> AsyncGenerator[Piece | Finish, None]:
    """Pieces of text, then one Finish. Raises RunnerFailed when the runner ends meanwhile."""
    begun = time.monotonic_ns()
    async with pool.lease(ask.wanted, ask.keep_alive_s) as runner:
        loaded = time.monotonic_ns()
        try:
            prompt = ask.prompt if ask.messages is None else await render(runner, ask.messages)
            async with aclosing(_complete(runner, prompt, ask)) as events:
                async for event in events:
                    if piece := _piece(event, ask.top_logprobs):
                        yield piece
                    if event.get("stop"):
                        yield _finish(event, begun, loaded)
        except httpx2.TransportError as error:
            await _settle(runner)
            raise runner.died() from error


async def render(runner: RunnerProcess, messages: Sequence[ChatTurn]) -> str:
    """The prompt, by the GGUF's own chat template."""
    reply = await runner.client.post("/apply-template", json={"messages": list(messages)})
    if reply.status_code != HTTP_OK:
        raise _refusal(reply.status_code, reply.json())
    return str(reply.json()["prompt"])


async def _complete(runner: RunnerProcess, prompt: str, ask: Ask) -> AsyncGenerator[dict[str, Any], None]:
    body: dict[str, JsonValue] = {**ask.parameters, "prompt": prompt, "stream": True, "cache_prompt": True}
    if ask.top_logprobs is not None:
        body["n_probs"] = max(ask.top_logprobs, 1)
    async with runner.client.stream("POST", "/completion", json=body) as reply:
        if reply.status_code != HTTP_OK:
            raise _refusal(reply.status_code, json.loads(await reply.aread()))
        ended = False
        async for line in reply.aiter_lines():
            kind, _, data = line.partition(": ")
            if kind == "error" or (kind == "data" and data.startswith('{"error"')):
                raise _refusal(500, json.loads(data))
            if kind == "data" and data != "[DONE]":
                event = orjson.loads(data)
                ended = bool(event.get("stop"))
                yield event
        if not ended:
            raise RunnerFailed("the model's runner broke off its answer")


def _piece(event: Mapping[str, Any], top_logprobs: int | None) -> Piece | None:
    text = str(event.get("content", ""))
    logprobs: tuple[TokenLogprob, ...] = ()
    if top_logprobs is not None:
        found = (_logprob(one, top_logprobs) for one in event.get("completion_probabilities", ()))
        # The end token has no text and is no part of the answer.
        logprobs = tuple(one for one in found if one.bytes)
    return Piece(text, logprobs) if text or logprobs else None


def _logprob(document: Mapping[str, Any], top: int) -> TokenLogprob:
    return TokenLogprob(
        token=document["token"],
        logprob=document["logprob"],
        bytes=tuple(document["bytes"]),
        top=tuple(_logprob(one, 0) for one in document.get("top_logprobs", ())[:top]),
    )


def _finish(event: Mapping[str, Any], begun: int, loaded: int) -> Finish:
    timings = event["timings"]
    return Finish(
        reason="length" if event["stop_type"] == "limit" else "stop",
        prompt_tokens=event["tokens_evaluated"],
        completion_tokens=event["tokens_predicted"],
        total_ns=time.monotonic_ns() - begun,
        load_ns=loaded - begun,
        prompt_ns=int(timings["prompt_ms"] * 1e6),
        completion_ns=int(timings["predicted_ms"] * 1e6),
    )


def _refusal(status: int, body: Any) -> BadRequest | RunnerFailed:
    """llama.cpp's error document as ours."""
    problem = body.get("error", body) if isinstance(body, dict) else body
    message = str(problem.get("message", problem)) if isinstance(problem, dict) else str(problem)
    if status in BAD_REQUESTS:
        return BadRequest(message)
    return RunnerFailed(f"the model's runner refused: {message}")


async def _settle(runner: RunnerProcess) -> None:
    """A broken connection comes a moment before the news that the process ended."""
    try:
        await asyncio.wait_for(runner.wait(), 2.0)
    except TimeoutError:
        return
