"""The client of the inference engine: the part of Ollama's HTTP API that the Forge uses. Speaks to Ollama and to ours alike.

Never sends a TEMPLATE: a model is served with its GGUF's own chat template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from forge_common.contracts.base import Sha256
from forge_common.contracts.exchange import Message
from forge_common.errors import DependencyDown, ForgeError

CHUNK_BYTES = 1 << 20
# Ollama's default repeat_penalty of 1.1 would change answers even at temperature 0.
GREEDY: dict[str, float | int] = {"temperature": 0.0, "repeat_penalty": 1.0, "seed": 0}
NOT_FOUND, UNAVAILABLE = 404, 503
Parameters = Mapping[str, float | int | str | Sequence[str]]


class EngineUnavailable(DependencyDown):
    """Nothing answers at the engine's URL, or it broke off."""


class EngineRefused(ForgeError):
    """The engine answered that it will not or cannot; `status` is what it answered with."""

    status = 502


@dataclass(frozen=True)
class Tag:
    """One line of `/api/tags`. `digest` names what is served: it changes when the name is pointed elsewhere."""

    name: str
    digest: str
    size: int


@dataclass(frozen=True)
class Shown:
    """`/api/show`: `template` is the chat template in force, `model_info` the GGUF's metadata."""

    template: str
    system: str
    parameters: str
    model_info: Mapping[str, Any]
    details: Mapping[str, Any]

    @property
    def rope_freq_base(self) -> float | None:
        """None when the GGUF does not say; 0 is what a broken conversion leaves."""
        value = self.model_info.get(f"{self.model_info.get('general.architecture')}.rope.freq_base")
        return None if value is None else float(value)


@dataclass(frozen=True)
class Answer:
    """`reason` is `stop` or `length`; `first_logprob` the natural logarithm of the first token's probability, if asked for."""

    text: str
    reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_logprob: float | None = None


class Engine:
    """Sync and thread-safe. `timeout_s` is the longest silence while a model loads or answers."""

    def __init__(
        self, base_url: str, *, timeout_s: float = 600.0, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        timeout = httpx2.Timeout(timeout_s, connect=5.0)
        # The engine is on this machine or on our network: a proxy that the environment names must not come between.
        self._client = httpx2.Client(
            base_url=self.base_url, timeout=timeout, transport=transport, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def version(self) -> str:
        return str(self._call("GET", "/api/version")["version"])

    def is_up(self) -> bool:
        try:
            self.version()
        except ForgeError:
            return False
        return True

    def has_blob(self, sha256: Sha256) -> bool:
        with self._talk():
            reply = self._client.head(_blob(sha256))
        if reply.status_code not in (httpx2.codes.OK, NOT_FOUND):
            raise _refused(reply)
        return reply.status_code == httpx2.codes.OK

    def push_blob(self, sha256: Sha256, source: Path | Iterable[bytes]) -> None:
        """Send the blob unless the engine has it. The engine checks the digest."""
        if self.has_blob(sha256):
            return
        chunks = _chunks(source) if isinstance(source, Path) else source
        with self._talk():
            reply = self._client.post(_blob(sha256), content=iter(chunks))
        if not reply.is_success:
            raise _refused(reply)

    def create(
        self,
        name: str,
        *,
        gguf_sha: Sha256 | None = None,
        from_: str | None = None,
        adapter_sha: Sha256 | None = None,
        system: str | None = None,
        parameters: Parameters | None = None,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make or re-point `name`, from pushed blobs or from a model that the engine has.

        Anything but a final `success` raises EngineRefused, whatever the HTTP status said.
        """
        body: dict[str, Any] = {"model": name, "stream": True}
        body |= {"files": {"model.gguf": f"sha256:{gguf_sha}"}} if gguf_sha else {"from": from_}
        body |= {"adapters": {"adapter.gguf": f"sha256:{adapter_sha}"}} if adapter_sha else {}
        body |= {"system": system} if system else {}
        body |= {"parameters": dict(parameters)} if parameters else {}
        last = ""
        for line in self._lines("/api/create", body):
            last = str(line.get("status", ""))
            on_status(last)
        if last != "success":
            raise EngineRefused(f"creating {name!r} ended with {last!r} instead of 'success'")

    def tags(self) -> list[Tag]:
        listed = self._call("GET", "/api/tags")["models"] or []
        return [Tag(one["name"], one["digest"], one["size"]) for one in listed]

    def tag(self, name: str) -> Tag | None:
        """The listing of one model, by any spelling of its name."""
        full = (name if ":" in name.rpartition("/")[2] else f"{name}:latest").lower()
        return next((one for one in self.tags() if one.name.lower() == full), None)

    def ps(self) -> list[Tag]:
        """The loaded models, under the names they were loaded by."""
        loaded = self._call("GET", "/api/ps")["models"] or []
        return [Tag(one["name"], one["digest"], one["size"]) for one in loaded]

    def unload(self, name: str) -> None:
        """Let the model go as soon as nobody uses it; the next question loads it again."""
        self._call("POST", "/api/generate", {"model": name, "keep_alive": 0, "stream": False})

    def show(self, name: str) -> Shown:
        shown = self._call("POST", "/api/show", {"model": name})
        return Shown(
            template=shown.get("template", ""),
            system=shown.get("system", ""),
            parameters=shown.get("parameters", ""),
            model_info=shown.get("model_info", {}),
            details=shown.get("details", {}),
        )

    def chat(
        self,
        name: str,
        messages: Sequence[Message | Mapping[str, Any]],
        *,
        options: Parameters | None = None,
        keep_alive: str | float | None = None,
        logprobs: bool = False,
    ) -> Answer:
        """One whole answer; `options` (e.g. GREEDY, num_predict) win over the model's own parameters."""
        body: dict[str, Any] = {"model": name, "messages": [_plain(one) for one in messages], "stream": False}
        body |= {"options": dict(options)} if options else {}
        body |= {"keep_alive": keep_alive} if keep_alive is not None else {}
        body |= {"logprobs": True} if logprobs else {}
        reply = self._call("POST", "/api/chat", body)
        tokens = reply.get("logprobs") or []
        return Answer(
            text=reply["message"]["content"],
            reason=reply.get("done_reason", ""),
            prompt_tokens=reply.get("prompt_eval_count", 0),
            completion_tokens=reply.get("eval_count", 0),
            seconds=reply.get("total_duration", 0) / 1e9,
            first_logprob=tokens[0]["logprob"] if tokens else None,
        )

    def copy(self, source: str, destination: str) -> None:
        """Point `destination` at what `source` is, at once; requests in flight finish on what they began with."""
        self._call("POST", "/api/copy", {"source": source, "destination": destination})

    def delete(self, name: str) -> bool:
        """False when the engine had no such model."""
        try:
            self._call("DELETE", "/api/delete", {"model": name})
        except EngineRefused as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return True

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        with self._talk():
            reply = self._client.request(method, path, json=body)
        if not reply.is_success:
            raise _refused(reply)
        document: dict[str, Any] = reply.json() if reply.content else {}
        return document

    def _lines(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The lines of a streamed reply. A line with `error` is a failure, although the status was 200."""
        with self._talk(), self._client.stream("POST", path, json=body) as reply:
            if not reply.is_success:
                reply.read()
                raise _refused(reply)
            for line in filter(str.strip, reply.iter_lines()):
                document: dict[str, Any] = json.loads(line)
                if "error" in document:
                    raise EngineRefused(str(document["error"]))
                yield document

    @contextmanager
    def _talk(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise EngineUnavailable(
                f"the engine at {self.base_url} does not answer ({type(error).__name__}: {error})",
                fix="start it with `forge up`, or set FORGE_ENGINE_URL to where it runs",
            ) from error


def _blob(sha256: Sha256) -> str:
    return f"/api/blobs/sha256:{sha256}"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _plain(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    """In Ollama's shape: content is text."""
    if isinstance(message, Message):
        document: dict[str, Any] = {"role": message.role, "content": message.text()}
        calls = [_tool_call(call) for call in message.tool_calls or ()]
        return document | ({"tool_calls": calls} if calls else {})
    return dict(message)


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's arguments are JSON text, Ollama's an object."""
    function = dict(call["function"])
    if isinstance(function.get("arguments"), str):
        function["arguments"] = json.loads(function["arguments"] or "{}")
    return {"function": function}


def _refused(reply: httpx2.Response) -> ForgeError:
    try:
        body = reply.json()
        message = str(body["error"]) if isinstance(body, dict) and "error" in body else reply.text[:300]
    except ValueError:
        message = reply.text[:300]
    text = (
        f"the engine refused {reply.request.method} {reply.request.url.path} ({reply.status_code}): {message}"
    )
    if reply.status_code == UNAVAILABLE:
        return EngineUnavailable(text)
    return EngineRefused(text, status=reply.status_code)
