"""`/api/chat` and `/api/generate`: NDJSON by default, one document with `"stream": false`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from anyio import to_thread
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from forge_engine import generation, sampling
from forge_engine.errors import Unsupported, native_body
from forge_engine.generation import Ask, ChatTurn, Finish, Piece
from forge_engine.library import Library
from forge_engine.models import ChatBody, ChatMessage, GenerateBody, InferenceBody, parse
from forge_engine.replies import NDJSON, JsonReply, collected, ndjson, streamed
from forge_engine.store import Record

Wrap = Callable[[str], dict[str, JsonValue]]


async def chat(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, ChatBody)
    record = library.record(body.asked)
    _refuse(body, tools=bool(body.tools))
    ask = await _ask(library, record, body, messages=conversation(record, body.messages))
    return await _reply(request, body, ask, _as_message, is_empty=not body.messages)


async def generate(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, GenerateBody)
    record = library.record(body.asked)
    _refuse(body, insert=bool(body.suffix), images=bool(body.images), template=bool(body.template))
    system = record.manifest.system if body.system is None else body.system
    ask = await _ask(
        library,
        record,
        body,
        messages=None if body.raw else one_turn(system, body.prompt),
        prompt=body.prompt,
    )
    return await _reply(request, body, ask, _as_response, is_empty=not body.prompt)


def conversation(record: Record, messages: Sequence[ChatMessage]) -> list[ChatTurn]:
    """The messages, led by the model's own system prompt unless they bring one."""
    told = [message.document() for message in messages]
    if record.manifest.system and (not told or told[0]["role"] != "system"):
        return [{"role": "system", "content": record.manifest.system}, *told]
    return told


def one_turn(system: str, prompt: str) -> list[ChatTurn]:
    """A bare prompt as a conversation."""
    led: list[ChatTurn] = [{"role": "system", "content": system}] if system else []
    return [*led, {"role": "user", "content": prompt}]


def _refuse(body: InferenceBody, **asked: bool) -> None:
    """Things that Ollama serves for some models and this engine for none."""
    wants = {"thinking": bool(body.think), **asked}
    for what, is_asked in wants.items():
        if is_asked:
            raise Unsupported(f'"{body.asked}" does not support {what}')


async def _ask(
    library: Library,
    record: Record,
    body: InferenceBody,
    *,
    messages: Sequence[ChatTurn] | None,
    prompt: str = "",
) -> Ask:
    parameters = sampling.llama_parameters(record.manifest.parameters, body.options)
    return Ask(
        wanted=await to_thread.run_sync(library.wanted, record, body.options),
        keep_alive_s=body.keep_alive_s,
        messages=messages,
        prompt=prompt,
        parameters=parameters | sampling.grammar(body.format),
        top_logprobs=body.top_logprobs if body.logprobs else None,
    )


async def _reply(request: Request, body: InferenceBody, ask: Ask, wrap: Wrap, *, is_empty: bool) -> Response:
    library: Library = request.app.state.library
    if is_empty:
        return JsonReply(await _load_or_unload(library, body, ask, wrap))
    events = generation.answer(library.pool, ask)
    if not body.stream:
        return JsonReply(_whole(body.asked, wrap, await collected(request, events)))
    return await streamed(
        request,
        events,
        lambda event: ndjson(_line(body.asked, wrap, event)),
        broken=lambda error: ndjson(native_body(error)),
        media_type=NDJSON,
    )


async def _load_or_unload(
    library: Library, body: InferenceBody, ask: Ask, wrap: Wrap
) -> dict[str, JsonValue]:
    """What a request without a prompt means."""
    if body.keep_alive_s == 0:
        await library.pool.unload(ask.wanted.plan)
        reason = "unload"
    else:
        await generation.load(library.pool, ask)
        reason = "load"
    return _head(body.asked) | wrap("") | {"done": True, "done_reason": reason}


def _line(asked: str, wrap: Wrap, event: Piece | Finish) -> dict[str, JsonValue]:
    if isinstance(event, Finish):
        return _head(asked) | wrap("") | _counters(event)
    logprobs: dict[str, JsonValue] = (
        {"logprobs": [one.document() for one in event.logprobs]} if event.logprobs else {}
    )
    return _head(asked) | wrap(event.text) | {"done": False} | logprobs


def _whole(asked: str, wrap: Wrap, events: Sequence[Piece | Finish]) -> dict[str, JsonValue]:
    pieces = [event for event in events if isinstance(event, Piece)]
    logprobs: list[JsonValue] = [one.document() for piece in pieces for one in piece.logprobs]
    document = _head(asked) | wrap("".join(piece.text for piece in pieces))
    finish = events[-1]
    assert isinstance(finish, Finish)
    return document | _counters(finish) | ({"logprobs": logprobs} if logprobs else {})


def _head(asked: str) -> dict[str, JsonValue]:
    return {"model": asked, "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z")}


def _counters(finish: Finish) -> dict[str, JsonValue]:
    return {
        "done": True,
        "done_reason": finish.reason,
        "total_duration": finish.total_ns,
        "load_duration": finish.load_ns,
        "prompt_eval_count": finish.prompt_tokens,
        "prompt_eval_duration": finish.prompt_ns,
        "eval_count": finish.completion_tokens,
        "eval_duration": finish.completion_ns,
    }


def _as_message(text: str) -> dict[str, JsonValue]:
    return {"message": {"role": "assistant", "content": text}}


def _as_response(text: str) -> dict[str, JsonValue]:
    return {"response": text}


routes = [
    Route("/api/chat", chat, methods=["POST"]),
    Route("/api/generate", generate, methods=["POST"]),
]
