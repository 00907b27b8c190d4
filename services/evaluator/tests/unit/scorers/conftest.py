"""Real servers that speak the chat-completions protocol: how each replies is a function of what it was asked."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from forge_evaluator.scorers.vocabulary import content, words

_CRITERION = re.compile(r"^Criterion: (.*)$", re.MULTILINE)
_MARKED = re.compile(r"(==[0-9a-f]{16}==)\n(.*?)\n\1", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """What a judge is told: the criterion (empty when two answers are compared) and the marked answers."""

    body: dict[str, Any]
    criterion: str
    answers: tuple[str, ...]


@dataclass
class JudgeServer:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


Reply = Callable[[Asked], str]


def by_keywords(asked: Asked) -> str:
    """Met if one sentence of the answer has two thirds of the criterion's words; of two answers, the longer is better."""
    if not asked.criterion:
        first, second = (len(answer) for answer in asked.answers)
        return json.dumps({"better": "A" if first > second else "B" if second > first else "tie"})
    wanted = content(words(asked.criterion))
    for sentence in re.split(r"(?<=[.!?])\s+", asked.answers[0]):
        if len(content(words(sentence)) & wanted) >= 0.66 * len(wanted):
            return json.dumps({"met": True, "quote": sentence})
    return json.dumps({"met": False, "quote": ""})


@contextmanager
def serving(reply: Reply, status: int = 200) -> Iterator[JudgeServer]:
    told = JudgeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.keys.append(self.headers.get("authorization", ""))
            asked = _asked(body)
            told.asked.append(asked)
            message = {"role": "assistant", "content": reply(asked)}
            payload = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
            self.send_response(status if self.path == "/v1/chat/completions" else 404)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _asked(body: dict[str, Any]) -> Asked:
    text = body["messages"][-1]["content"]
    criterion = _CRITERION.search(text)
    answers = tuple(found[2] for found in _MARKED.finditer(text))
    return Asked(body, criterion[1] if criterion else "", answers)


@pytest.fixture
def judges() -> SimpleNamespace:
    return SimpleNamespace(serving=serving, by_keywords=by_keywords)
