"""The parent's side of a runner: start it, know when it ends, end it. Says nothing about which models are loaded."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import httpx2

from forge_engine.errors import RunnerFailed
from forge_engine.runner import RunnerSpec, failure_reason, runner_command, runner_environment

# Enough of llama.cpp's log to say why it failed.
LOG_LINES = 200


@dataclass(frozen=True)
class LoadPlan:
    """What to load. Equal plans share a runner, whatever the names that led to them."""

    model: Path
    adapter: Path | None
    context: int


class RunnerProcess:
    """A loaded model. `client` speaks to its llama.cpp server."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx2.AsyncClient, log: _Log) -> None:
        self.process = process
        self.client = client
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    def died(self) -> RunnerFailed:
        """What to tell whoever was waiting for an answer."""
        return RunnerFailed(
            f"the model's runner ended (status {self.process.returncode}): {self._log.reason()}"
        )

    async def wait(self) -> None:
        await self.process.wait()

    async def stop(self) -> None:
        """Killed at once: a runner has no state to lose, and its memory is wanted."""
        await _kill(self.process)
        await self.client.aclose()


async def start(
    plan: LoadPlan, *, slots: int, threads: int, gpu_layers: int, timeout_s: float
) -> RunnerProcess:
    """Load a model in a child process. Raises RunnerFailed with llama.cpp's own reason."""
    key = secrets.token_urlsafe(24)
    spec = RunnerSpec(
        model=str(plan.model),
        adapter=str(plan.adapter) if plan.adapter else None,
        context=plan.context,
        slots=slots,
        threads=threads,
        gpu_layers=gpu_layers,
        api_key=key,
        parent=os.getpid(),
    )
    process = await _spawn(spec)
    log = _Log(process)
    try:
        url = await asyncio.wait_for(_listening(process), timeout_s)
        if url is None:
            await log.whole()
            raise RunnerFailed(f"the model cannot be loaded: {log.reason()}")
    except TimeoutError as error:
        raise RunnerFailed(f"loading {plan.model.name} took longer than {timeout_s:.0f} s") from error
    else:
        return RunnerProcess(process, _client(url, key), log)
    finally:
        if sys.exc_info()[0] is not None:
            await _kill(process)


class _Log:
    """The last lines that llama.cpp wrote; at this verbosity they hold no prompts."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._reading = asyncio.create_task(self._read(process))

    async def whole(self) -> None:
        await self._reading

    def reason(self) -> str:
        return failure_reason("\n".join(self._lines))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self._lines.append(line.decode(errors="replace").rstrip())


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _spawn(spec: RunnerSpec) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *runner_command(),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=runner_environment(),
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(spec.line())
    return process


async def _listening(process: asyncio.subprocess.Process) -> str | None:
    assert process.stdout is not None
    line = await process.stdout.readline()
    return str(json.loads(line)["url"]) if line else None


def _client(url: str, key: str) -> httpx2.AsyncClient:
    # llama.cpp closes idle connections after five seconds, and a request may just then be under way: none is reused.
    # A slow model on a busy machine may take minutes to its first token: only connecting has a limit.
    timeout = httpx2.Timeout(None, connect=10.0)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout, limits=limits, trust_env=False)
