"""Request bodies, as Ollama and OpenAI define them. Unknown fields are ignored, as both do; null means absent."""

from __future__ import annotations

import json
import re
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from starlette.requests import Request

from forge_engine.errors import BadRequest, Unsupported

Body = TypeVar("Body", bound="RequestBody")
# Conversations are text; weights come through the blobs.
MAX_BODY_BYTES = 64 << 20
UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"([+-]?)((?:\d+\.?\d*(?:ns|us|µs|ms|s|m|h))+|0)")


class RequestBody(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: object) -> object:
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


class NamedBody(RequestBody):
    """`name` is what older clients call `model`."""

    model: str = ""
    name: str = ""

    @property
    def asked(self) -> str:
        return self.model or self.name


class CreateBody(NamedBody):
    from_: str = Field(default="", alias="from")
    files: dict[str, str] = {}
    adapters: dict[str, str] = {}
    system: str = ""
    parameters: dict[str, JsonValue] = {}
    template: str = ""
    quantize: str = ""
    messages: list[JsonValue] = []
    stream: bool = True


class CopyBody(RequestBody):
    source: str = ""
    destination: str = ""


class ChatMessage(RequestBody):
    """`content` is text, or under `/v1` a list of parts of which only text ones are served."""

    role: str = ""
    content: JsonValue = ""
    images: list[str] = []
    tool_calls: list[dict[str, JsonValue]] = []
    tool_call_id: str = ""

    def document(self) -> dict[str, JsonValue]:
        """For the chat template, in OpenAI's shape; tool calls of earlier turns are rendered as the template has them."""
        said: dict[str, JsonValue] = {"role": self.role, "content": self.text()}
        if self.tool_calls:
            said["tool_calls"] = [_tool_call(call) for call in self.tool_calls]
        return said | ({"tool_call_id": self.tool_call_id} if self.tool_call_id else {})

    def text(self) -> str:
        if self.images:
            raise Unsupported("this engine does not read images")
        if isinstance(self.content, str):
            return self.content
        if isinstance(self.content, list):
            return "\n".join(_part_text(part) for part in self.content)
        raise BadRequest(f"invalid message content type: {type(self.content).__name__}")


class InferenceBody(NamedBody):
    """What `/api/chat` and `/api/generate` have in common."""

    stream: bool = True
    format: JsonValue = None
    options: dict[str, JsonValue] = {}
    keep_alive: str | float | None = None
    think: JsonValue = None
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)

    @property
    def keep_alive_s(self) -> float | None:
        return None if self.keep_alive is None else duration_s(self.keep_alive)


class ChatBody(InferenceBody):
    messages: list[ChatMessage] = []
    tools: list[JsonValue] = []


class GenerateBody(InferenceBody):
    prompt: str = ""
    system: str | None = None
    suffix: str = ""
    template: str = ""
    images: list[str] = []
    raw: bool = False


class StreamOptions(RequestBody):
    include_usage: bool = False


class OpenAIBody(RequestBody):
    """What the two `/v1` completions have in common. A field left out takes the model's own parameter."""

    model: str = ""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tokens: int | None = None
    n: int = 1

    def options(self) -> dict[str, JsonValue]:
        """As `/api/chat` names them."""
        stop: JsonValue = (
            [self.stop] if isinstance(self.stop, str) else list(self.stop) if self.stop else None
        )
        given: dict[str, JsonValue] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": stop,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "num_predict": self.token_limit,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens


class JsonSchemaFormat(RequestBody):
    schema_: dict[str, JsonValue] = Field(default={}, alias="schema")


class ResponseFormat(RequestBody):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchemaFormat = JsonSchemaFormat()

    def format(self) -> JsonValue:
        """As `/api/chat` takes it."""
        return {"text": None, "json_object": "json", "json_schema": self.json_schema.schema_}[self.type]


class OpenAIChatBody(OpenAIBody):
    messages: list[ChatMessage] = []
    max_completion_tokens: int | None = None
    response_format: ResponseFormat = ResponseFormat()
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)
    tools: list[JsonValue] = []

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class OpenAICompletionBody(OpenAIBody):
    prompt: str = ""
    suffix: str = ""
    logprobs: int | None = Field(default=None, ge=0, le=20)


class EmbedBody(NamedBody):
    input: JsonValue = None


async def parse(request: Request, body: type[Body]) -> Body:
    """The request's body, checked. The content type is not looked at, as Ollama does not. Raises BadRequest."""
    raw = await _read(request)
    if not raw.strip():
        raise BadRequest("missing request body")
    try:
        return body.model_validate(_json(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadRequest(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def duration_s(value: str | float) -> float:
    """Seconds of a Go duration such as `5m` or `1h30m`, or of a bare number. Negative means for ever."""
    if isinstance(value, int | float):
        return float(value)
    match = DURATION.fullmatch(value)
    if match is None:
        raise BadRequest(f'time: invalid duration "{value}"')
    parts = re.findall(r"(\d+\.?\d*)(ns|us|µs|ms|s|m|h)", match[2])
    total = sum(float(number) * UNITS_S[unit] for number, unit in parts)
    return -total if match[1] == "-" else total


async def _read(request: Request) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise BadRequest(f"the request is larger than {MAX_BODY_BYTES >> 20} MiB", status=413)
    return bytes(raw)


def _json(raw: bytes) -> JsonValue:
    try:
        text = raw.decode()
        value: JsonValue = json.loads(text)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the request is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        raise BadRequest("unexpected EOF" if is_cut else f"invalid JSON: {error}") from None
    except RecursionError:
        raise BadRequest("invalid JSON: nested too deeply") from None
    return value


def _tool_call(call: dict[str, JsonValue]) -> JsonValue:
    """Ollama's clients send arguments as an object, OpenAI's and llama.cpp's as JSON text."""
    function = call.get("function")
    if not isinstance(function, dict):
        raise BadRequest("a tool call has no function")
    arguments = function.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"type": "function", **call, "function": {**function, "arguments": text}}


def _part_text(part: JsonValue) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise Unsupported(f"invalid message content part: {kind}; only text is served")
