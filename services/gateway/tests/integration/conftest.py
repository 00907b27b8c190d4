"""The gateway as its own process, between an engine and a registry that the test serves by real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from forge_common.local.process import free_port

OVER = '{"error":{"code":400,"message":"request (1224 tokens) exceeds the available context size (512 tokens)","type":"exceed_context_size_error"}}'


MODELS = ("engie-coder:v1", "engie-coder:v2", "llama3:latest")


@contextmanager
def served(app: FastAPI, port: int) -> Iterator[None]:
    """In a thread of this process, until left."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


@dataclass
class Engine:
    """Answers as Ollama's /v1 was recorded to: replies name the model as it was asked for."""

    port: int = field(default_factory=free_port)
    models: list[str] = field(default_factory=lambda: [*MODELS])
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/v1/models")
        def models() -> dict[str, Any]:
            listed = [
                {"id": name, "object": "model", "created": 1795336458, "owned_by": "library"}
                for name in self.models
            ]
            return {"object": "list", "data": listed or None}

        @app.post("/v1/embeddings")
        async def embeddings(request: Request) -> JSONResponse:
            self.asked.append(await request.json())
            return JSONResponse(_error("This server does not support embeddings.", "api_error"), 501)

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Any:
            body = await request.json()
            self.asked.append(body)
            self.headers.append(dict(request.headers))
            return self._chat(body)

        @app.post("/v1/completions")
        async def completions(request: Request) -> Any:
            body = await request.json()
            self.asked.append(body)
            choice = {"index": 0, "text": f"{body['prompt']}!", "finish_reason": "stop"}
            return {
                "id": "cmpl-1",
                "object": "text_completion",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
            }

        return app

    def _chat(self, body: dict[str, Any]) -> Any:
        if body["model"] not in self.models:
            return JSONResponse(_error(f"model '{body['model']}' not found", "not_found_error"), 404)
        prompt = body["messages"][-1]["content"]
        if prompt == "too long":
            return JSONResponse({"error": OVER}, 400)
        if body.get("stream"):
            return StreamingResponse(self._events(body), media_type="text/event-stream")
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": f"echo: {prompt}"},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1795336481,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }

    async def _events(self, body: dict[str, Any]) -> Any:
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        words = ["echo:", " ", *body["messages"][-1]["content"]]
        try:
            for word in words * (10_000 if body.get("max_tokens") == 9999 else 1):
                choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                yield f"data: {json.dumps(base | {'choices': [choice]})}\n\n"
                await asyncio.sleep(0.001)
            yield "data: [DONE]\n\n"
        finally:
            self.stopped.set()


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


@dataclass
class Registry:
    """The one endpoint that the gateway follows."""

    port: int = field(default_factory=free_port)
    revision: int = 1
    live: dict[str, int | None] = field(default_factory=lambda: {"coding": 1})
    parameters: dict[str, Any] = field(default_factory=dict)
    polls: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def promote(self, domain: str, version: int) -> None:
        self.live[domain] = version
        self.revision += 1

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/v1/pointers")
        async def pointers(after: int | None = None, wait_s: float = 0) -> dict[str, Any]:
            self.polls += 1
            deadline = time.monotonic() + wait_s
            while after == self.revision and time.monotonic() < deadline:  # noqa: ASYNC110  two threads
                await asyncio.sleep(0.01)
            return {"revision": self.revision, "pointers": [self._pointer(domain) for domain in self.live]}

        return app

    def _pointer(self, domain: str) -> dict[str, Any]:
        prefix = {"coding": "engie-coder"}.get(domain, f"engie-{domain}")
        live = self.live[domain]
        model = None if live is None else f"{prefix}:v{live}"
        return {
            "domain": domain,
            "prefix": prefix,
            "live": live,
            "model": model,
            "system_prompt": "Be brief.",
            "parameters": self.parameters,
        }


@dataclass
class Gateway:
    """`python -m forge_gateway` with its own home."""

    home: Path
    engine: Engine
    registry: Registry
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FORGE_")}
        environment |= {
            "FORGE_HOME": str(self.home),
            "FORGE_GATEWAY_PORT": str(self.port),
            "FORGE_ENGINE_URL": self.engine.url,
            "FORGE_REGISTRY_URL": self.registry.url,
            **self.environment,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "forge_gateway"],
            env=environment,
            cwd=self.home,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def running(self) -> Iterator[Gateway]:
        process = self.command()
        try:
            self._wait(process)
            yield self
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors, errors

    def _wait(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx2.get(f"{self.url}/health")
            except httpx2.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(process.communicate()[1] if process.poll() is not None else "it does not listen")


def eventually(claim: Any, within_s: float = 60.0) -> float:
    """Waits until `claim()` is true; the seconds it took."""
    began = time.monotonic()
    while not claim():
        assert time.monotonic() - began < within_s, "it did not become true"
        time.sleep(0.01)
    return time.monotonic() - began


@dataclass
class World:
    home: Path
    stack: ExitStack
    engine: Engine = field(default_factory=Engine)
    registry: Registry = field(default_factory=Registry)
    eventually = staticmethod(eventually)

    def up(self, part: Engine | Registry) -> None:
        self.stack.enter_context(served(part.app(), part.port))

    def until_left(self, part: Engine | Registry) -> AbstractContextManager[None]:
        return served(part.app(), part.port)

    def gateway(self, **environment: str) -> Gateway:
        gateway = Gateway(self.home, self.engine, self.registry, environment)
        return self.stack.enter_context(gateway.running())

    def refused(self, **environment: str) -> tuple[int, str]:
        """Exit code and message of a gateway that must not start."""
        process = Gateway(self.home, self.engine, self.registry, environment).command()
        _, errors = process.communicate(timeout=30)
        return process.returncode, errors

    def reset(self, gateway: Gateway) -> None:
        """As it was when it came up, and the gateway knows it."""
        for seen in (self.engine.asked, self.engine.headers):
            seen.clear()
        self.engine.models[:] = MODELS
        self.engine.stopped.clear()
        self.registry.live = {"coding": 1}
        self.registry.parameters = {"temperature": 0.7, "top_p": 0.9, "num_ctx": 8192}
        self.registry.revision += 1
        eventually(
            lambda: httpx2.get(f"{gateway.url}/health").json()["revision"] == self.registry.revision, 20
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """With nothing running yet."""
    with ExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Gateway]]:
    """Engine, registry and gateway, for all tests of a file: a process takes longer to start than a test."""
    with ExitStack() as stack:
        world = World(tmp_path_factory.mktemp("home"), stack)
        world.up(world.engine)
        world.up(world.registry)
        yield world, world.gateway()
