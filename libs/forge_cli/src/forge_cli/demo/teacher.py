"""The demo's teacher: a small local server that speaks OpenAI's chat API and really answers from the prompt.

It stands where a cloud model stands in real use. It knows the nano domain's two kinds of question and nothing else.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

from forge_common.local.process import listens
from forge_common.nano.teacher import answer

MODEL = "nano-teacher"


def create_app() -> FastAPI:
    app = FastAPI(title="Nano teacher")

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {
            "object": "list",
            "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "forge"}],
        }

    @app.post("/v1/chat/completions")
    def chat(request: dict[str, Any]) -> Response:
        text = answer(request["messages"])
        usage = {"prompt_tokens": _words(request["messages"]), "completion_tokens": len(text.split())}
        if request.get("stream"):
            return StreamingResponse(_events(text), media_type="text/event-stream")
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return JSONResponse(_envelope("chat.completion") | {"choices": [choice], "usage": usage})

    return app


def start(port: int) -> uvicorn.Server:
    """Serve on loopback from a thread of this process; returns once it answers."""
    server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not listens(port):
        time.sleep(0.02)
    return server


def _events(text: str) -> Iterator[str]:
    words = text.split(" ")
    pieces = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
    yield _event({"role": "assistant", "content": ""}, None)
    for piece in pieces:
        yield _event({"content": piece}, None)
    yield _event({}, "stop")
    yield "data: [DONE]\n\n"


def _event(delta: dict[str, str], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps(_envelope('chat.completion.chunk') | {'choices': [choice]})}\n\n"


def _envelope(kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{time.time_ns():x}", "object": kind, "created": int(time.time()), "model": MODEL}


def _words(messages: list[dict[str, Any]]) -> int:
    return sum(len(str(message.get("content", "")).split()) for message in messages)
