"""A working day in a minute: the official OpenAI SDK talks to the teacher through the collector, streaming and not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from openai import APIConnectionError, APIStatusError, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from forge_cli.clients import CollectorClient
from forge_common.errors import DependencyDown
from forge_common.nano.traffic import coding_requests, general_requests

CODING, GENERAL = 360, 130
T = TypeVar("T")
# Requests in flight at once: an impatient person with a few tools open.
AT_ONCE = 4
PATIENCE_S = 60.0


def requests() -> list[str]:
    """What the day's user asks: coding requests, and the small talk without which a model forgets how to chat."""
    return [*coding_requests(CODING, seed=42), *general_requests(GENERAL, seed=99)]


def talk(client: OpenAI, model: str, prompts: Sequence[str], said: Callable[[], None]) -> None:
    """Ask everything, every second request streaming; `said` is called after each answer."""

    def ask(numbered: tuple[int, str]) -> None:
        number, prompt = numbered
        patiently(lambda: _ask(client, model, prompt, stream=number % 2 == 1))
        said()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(ask, enumerate(prompts)):
            pass


def ask(client: OpenAI, model: str, prompt: str, *, stream: bool = False) -> str:
    """One question, one answer, by the SDK; waits out a part that is being restarted."""
    return patiently(lambda: _ask(client, model, prompt, stream=stream))


def wait_until_stored(collector: CollectorClient, domain: str, count: int, timeout_s: float = 120.0) -> int:
    """Wait until the spool has been drained into Postgres; returns how many exchanges the domain has."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(DependencyDown):
            collector.drain()
            stored = stored_exchanges(collector, domain)
            if stored >= count:
                return stored
        if time.monotonic() > deadline:
            raise DependencyDown(
                f"{count} exchanges did not reach Postgres within {timeout_s:.0f} s",
                fix="`forge status` and the collector's log say why; nothing is lost, the spool holds the rest",
            )
        time.sleep(0.2)


def stored_exchanges(collector: CollectorClient, domain: str) -> int:
    """Whole exchanges of a domain that Postgres has."""
    counts = collector.stats()["exchanges"]
    return sum(count["exchanges"] - count["partial"] for count in counts if count["domain"] == domain)


def _ask(client: OpenAI, model: str, prompt: str, *, stream: bool) -> str:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": prompt}]
    if not stream:
        reply = client.chat.completions.create(model=model, messages=messages)
        return str(reply.choices[0].message.content or "")
    chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def patiently(ask_once: Callable[[], T]) -> T:
    """Wait out a part that is being restarted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask_once()
        except (APIConnectionError, DependencyDown):
            if time.monotonic() > deadline:
                raise
        except APIStatusError as error:
            # 429: a real teacher's rate limit.
            if (error.status_code < 500 and error.status_code != 429) or time.monotonic() > deadline:
                raise
        time.sleep(0.5)
