"""What llama.cpp answers greedily to a GGUF: how a trainer checks an export. No server of ours, no state.

The file is loaded in a child process, so that a bad one cannot take the trainer with it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import httpx2

from forge_common.contracts.exchange import Message
from forge_engine import gguf_header
from forge_engine.errors import RunnerFailed
from forge_engine.runner import RunnerSpec, failure_reason, runner_command, runner_environment
from forge_engine.settings import usable_cores

HTTP_OK = 200
CHECK_S = 0.2


@dataclass(frozen=True)
class Continuation:
    """`tokens` are raw ids, the end token included when it came; `prompt` are those that they follow.

    `logprobs` has one natural logarithm for each token, NaN where llama.cpp reports none: for a token that ends inside
    a UTF-8 character.
    """

    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    prompt: tuple[int, ...]


def greedy(
    gguf: Path,
    prompts: Sequence[Sequence[Message | Mapping[str, Any]]],
    *,
    adapter: Path | None = None,
    max_tokens: int = 48,
    context: int = 4096,
    timeout_s: float = 600.0,
    check: Callable[[], None] = lambda: None,
) -> list[Continuation]:
    """The greedy answer to each conversation, rendered by the GGUF's own chat template.

    `context` is cut to what the model was trained for. Raises RunnerFailed when the files cannot be loaded, when a
    conversation is longer than the context, or when nothing comes for `timeout_s`; and what `check`, which is asked all
    the while, raises.
    """
    trained = gguf_header.read(gguf).number("context_length", context)
    try:
        with _server(gguf, adapter, min(context, trained), timeout_s, check) as client:
            return [_continue(client, messages, max_tokens) for messages in prompts]
    except RunnerFailed:
        check()  # called off, which is why it ended
        raise


def prompt_tokens(
    gguf: Path,
    prompts: Sequence[Sequence[Message | Mapping[str, Any]]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    timeout_s: float = 600.0,
) -> list[tuple[int, ...]]:
    """What llama.cpp would answer to, without answering: each conversation, and the tools that it offers."""
    with _server(gguf, None, 512, timeout_s) as client:
        return [tuple(_prompt(client, messages, tools)) for messages in prompts]


def _prompt(
    client: httpx2.Client,
    messages: Sequence[Message | Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> list[int]:
    body: dict[str, Any] = {"messages": [_plain(message) for message in messages]}
    if tools:
        body["tools"] = [dict(tool) for tool in tools]
    rendered = _post(client, "/apply-template", body)["prompt"]
    found = _post(client, "/tokenize", {"content": rendered, "add_special": True, "parse_special": True})
    tokens: list[int] = found["tokens"]
    return tokens


def _continue(
    client: httpx2.Client, messages: Sequence[Message | Mapping[str, Any]], max_tokens: int
) -> Continuation:
    tokens = _prompt(client, messages)
    answer = _post(
        client,
        "/completion",
        {
            "prompt": tokens,
            "n_predict": max_tokens,
            "temperature": 0.0,
            "repeat_penalty": 1.0,
            "n_probs": 1,
            "return_tokens": True,
            "cache_prompt": False,
        },
    )
    ids = tuple(answer["tokens"])
    return Continuation(
        ids, answer["content"], _aligned(ids, answer["completion_probabilities"]), tuple(tokens)
    )


def _aligned(tokens: Sequence[int], reported: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """llama.cpp reports tokens in order but leaves out those that end inside a character."""
    waiting = list(reversed(reported))
    found: list[float] = []
    for token in tokens:
        is_next = bool(waiting) and waiting[-1]["id"] == token
        found.append(float(waiting.pop()["logprob"]) if is_next else float("nan"))
    return tuple(found)


def _plain(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(message, Message):
        return message.model_dump(mode="json", exclude_none=True, exclude={"thinking"})
    return dict(message)


def _post(client: httpx2.Client, path: str, body: Mapping[str, Any]) -> Any:
    try:
        reply = client.post(path, json=body)
    except httpx2.TransportError as error:
        raise RunnerFailed(f"llama.cpp ended or hung while verifying ({type(error).__name__})") from error
    if reply.status_code != HTTP_OK:
        raise RunnerFailed(f"llama.cpp refused {path}: {reply.text[:500]}")
    return reply.json()


@contextmanager
def _server(
    gguf: Path,
    adapter: Path | None,
    context: int,
    timeout_s: float,
    check: Callable[[], None] = lambda: None,
) -> Iterator[httpx2.Client]:
    key = secrets.token_urlsafe(24)
    spec = RunnerSpec(
        model=str(gguf),
        adapter=str(adapter) if adapter else None,
        context=context,
        slots=1,
        threads=usable_cores(),
        gpu_layers=0,
        api_key=key,
        parent=os.getpid(),
    )
    with TemporaryFile() as log, _child(log) as child, _ended_when_called_off(child, check):
        url = _start(child, spec, log, timeout_s)
        headers = {"authorization": f"Bearer {key}"}
        timeout = httpx2.Timeout(timeout_s, connect=10.0)
        with httpx2.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False) as client:
            yield client


@contextmanager
def _child(log: Any) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        runner_command(),
        stdin=pipe,
        stdout=pipe,
        stderr=log,
        env=runner_environment(),
        start_new_session=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def _ended_when_called_off(child: subprocess.Popen[bytes], check: Callable[[], None]) -> Iterator[None]:
    done = threading.Event()

    def watch() -> None:
        while not done.wait(CHECK_S):
            try:
                check()
            except Exception:  # noqa: BLE001  whoever waits for the child asks again, and hears why
                child.kill()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _start(child: subprocess.Popen[bytes], spec: RunnerSpec, log: Any, timeout_s: float) -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    # A child that could not even begin says why on stderr, not on this pipe.
    with suppress(BrokenPipeError):
        child.stdin.write(spec.line())
        child.stdin.flush()
    # A load that hangs ends with its process, which ends the read below.
    watchdog = threading.Timer(timeout_s, child.kill)
    watchdog.start()
    line = child.stdout.readline()
    watchdog.cancel()
    if line:
        return str(json.loads(line)["url"])
    child.wait()
    log.seek(0)
    raise RunnerFailed(
        f"{Path(spec.model).name} cannot be loaded: {failure_reason(log.read().decode(errors='replace'))}"
    )
