"""`/v1`: the OpenAI-compatible half of Ollama's API."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from anyio import to_thread
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from forge_engine import endpoints, generation, sampling
from forge_engine.errors import BadRequest, Unsupported, openai_body
from forge_engine.generation import Ask, Finish, Piece
from forge_engine.inference import conversation, one_turn
from forge_engine.library import Library
from forge_engine.models import EmbedBody, OpenAIBody, OpenAIChatBody, OpenAICompletionBody, parse
from forge_engine.replies import SSE, JsonReply, collected, sse, streamed
from forge_engine.store import Record

FINGERPRINT = "fp_forge"
# A piece's choice, the answer's finish, and how a whole answer looks.
ChunkChoice = Callable[[Piece, bool], dict[str, JsonValue]]
Choice = Callable[[str, list[JsonValue]], dict[str, JsonValue]]


@dataclass(frozen=True)
class Dialect:
    """How the two completions differ on the wire."""

    prefix: str
    whole_object: str
    chunk_object: str
    choice: Choice
    chunk: ChunkChoice
    last: dict[str, JsonValue]


async def chat_completions(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, OpenAIChatBody)
    if not body.messages:
        raise BadRequest("[] is too short - 'messages'")
    record = library.record(body.model)
    _refuse(body, tools=bool(body.tools))
    ask = Ask(
        wanted=await to_thread.run_sync(library.wanted, record, {}),
        messages=conversation(record, body.messages),
        parameters=_parameters(record, body) | sampling.grammar(body.response_format.format()),
        top_logprobs=body.top_logprobs if body.logprobs else None,
    )
    return await _reply(request, body, ask, CHAT)


async def completions(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, OpenAICompletionBody)
    record = library.record(body.model)
    _refuse(body, insert=bool(body.suffix))
    ask = Ask(
        wanted=await to_thread.run_sync(library.wanted, record, {}),
        # Through the chat template, as Ollama does it; /api/generate with `raw` completes bare text.
        messages=one_turn(record.manifest.system, body.prompt),
        parameters=_parameters(record, body),
        top_logprobs=body.logprobs,
    )
    return await _reply(request, body, ask, TEXT)


async def embeddings(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, EmbedBody)
    if not body.input:
        raise BadRequest("invalid input")
    endpoints.require(library, body.asked)
    raise Unsupported("this engine does not support embeddings", status=501)


async def models(request: Request) -> Response:
    library: Library = request.app.state.library
    found: list[JsonValue] = [_model(record.name, record) for record in library.store.records()]
    return JsonReply({"object": "list", "data": found})


async def model(request: Request) -> Response:
    library: Library = request.app.state.library
    asked = request.path_params["name"]
    return JsonReply(_model(asked, library.record(asked, full_name=True)))


def _model(name: str, record: Record) -> dict[str, JsonValue]:
    namespace, slash, _ = record.name.rpartition("/")
    created = int(record.modified_at.timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": namespace if slash else "library"}


def _parameters(record: Record, body: OpenAIBody) -> dict[str, JsonValue]:
    return sampling.llama_parameters(record.manifest.parameters, body.options())


def _refuse(body: OpenAIBody, **asked: bool) -> None:
    if body.n != 1:
        raise Unsupported(f"this engine gives one choice, not {body.n}", fix="send the request several times")
    for what, is_asked in asked.items():
        if is_asked:
            raise Unsupported(f'"{body.model}" does not support {what}')


async def _reply(request: Request, body: OpenAIBody, ask: Ask, dialect: Dialect) -> Response:
    library: Library = request.app.state.library
    events = generation.answer(library.pool, ask)
    answer = _Answer(body, dialect)
    if not body.stream:
        return JsonReply(answer.whole(await collected(request, events)))
    return await streamed(
        request,
        events,
        lambda event: b"".join(sse(chunk) for chunk in answer.chunks(event)),
        broken=lambda error: sse(openai_body(error)),
        media_type=SSE,
        end=b"data: [DONE]\n\n",
    )


class _Answer:
    def __init__(self, body: OpenAIBody, dialect: Dialect) -> None:
        self.body, self.dialect = body, dialect
        self.id = f"{dialect.prefix}-{secrets.token_hex(8)}"
        self.created = int(time.time())
        self.is_first = True

    def whole(self, events: Sequence[Piece | Finish]) -> dict[str, JsonValue]:
        pieces = [event for event in events if isinstance(event, Piece)]
        finish = events[-1]
        assert isinstance(finish, Finish)
        logprobs: list[JsonValue] = [one.document() for piece in pieces for one in piece.logprobs]
        choice = self.dialect.choice("".join(piece.text for piece in pieces), logprobs)
        return self._head(self.dialect.whole_object) | {
            "choices": [{"index": 0, **choice, "finish_reason": finish.reason}],
            "usage": _usage(finish),
        }

    def chunks(self, event: Piece | Finish) -> Iterator[dict[str, JsonValue]]:
        """One for a piece; for the finish its reason, and the usage where it was asked for."""
        if isinstance(event, Piece):
            yield self._chunk(self.dialect.chunk(event, self.is_first), None)
            self.is_first = False
            return
        yield self._chunk(self.dialect.last, event.reason)
        if self.body.stream_options.include_usage:
            yield self._head(self.dialect.chunk_object) | {"choices": [], "usage": _usage(event)}

    def _chunk(self, choice: dict[str, JsonValue], reason: str | None) -> dict[str, JsonValue]:
        choices: list[JsonValue] = [{"index": 0, **choice, "finish_reason": reason}]
        return self._head(self.dialect.chunk_object) | {"choices": choices}

    def _head(self, kind: str) -> dict[str, JsonValue]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.body.model,
            "system_fingerprint": FINGERPRINT,
        }


def _usage(finish: Finish) -> dict[str, JsonValue]:
    return {
        "prompt_tokens": finish.prompt_tokens,
        "completion_tokens": finish.completion_tokens,
        "total_tokens": finish.prompt_tokens + finish.completion_tokens,
    }


def _logprobs(documents: list[JsonValue]) -> dict[str, JsonValue]:
    return {"logprobs": {"content": documents}} if documents else {}


def _chat_choice(text: str, logprobs: list[JsonValue]) -> dict[str, JsonValue]:
    choice: dict[str, JsonValue] = {"message": {"role": "assistant", "content": text}}
    return choice | _logprobs(logprobs)


def _chat_chunk(piece: Piece, is_first: bool) -> dict[str, JsonValue]:
    delta: dict[str, JsonValue] = {"role": "assistant"} if is_first else {}
    choice: dict[str, JsonValue] = {"delta": delta | {"content": piece.text}}
    return choice | _logprobs([one.document() for one in piece.logprobs])


def _text_choice(text: str, logprobs: list[JsonValue]) -> dict[str, JsonValue]:
    choice: dict[str, JsonValue] = {"text": text}
    return choice | _logprobs(logprobs)


def _text_chunk(piece: Piece, is_first: bool) -> dict[str, JsonValue]:  # noqa: ARG001  the chat's has a role first
    return _text_choice(piece.text, [one.document() for one in piece.logprobs])


CHAT = Dialect(
    "chatcmpl", "chat.completion", "chat.completion.chunk", _chat_choice, _chat_chunk, {"delta": {}}
)
TEXT = Dialect("cmpl", "text_completion", "text_completion", _text_choice, _text_chunk, {"text": ""})

routes = [
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/completions", completions, methods=["POST"]),
    Route("/v1/embeddings", embeddings, methods=["POST"]),
    Route("/v1/models", models, methods=["GET"]),
    Route("/v1/models/{name:path}", model, methods=["GET"]),
]
