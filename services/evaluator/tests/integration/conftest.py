"""A real OpenAI-compatible server on loopback whose models know some tasks and not others, and a store of artifacts."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from forge_common.testing.artifact_server import serve_artifacts
from forge_evaluator.sandbox import probe


class ModelServer:
    """`answers[model][prompt]` is what a model says; `asked` notes every request; `fails(n)` may break the n-th.

    `probed` notes what was asked in Ollama's own dialect; `slow_s` and `pauses(body)` are what an answer takes, `busiest` how many were
    under way at once.
    """

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.probed = []
        self.slow_s = 0.0
        self.pauses = lambda body: 0.0
        self.busy = self.busiest = 0
        self.fails = lambda number: None
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                models = [{"name": name, "digest": f"digest-of-{name}"} for name in owner.answers]
                self.reply(200 if self.path == "/api/tags" else 404, {"models": models})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path == "/api/chat":
                    owner.probed.append(body)
                    text = owner.answers[body["model"]].get(body["messages"][-1]["content"], "")
                    self.reply(
                        200, {"message": {"role": "assistant", "content": text}, "done_reason": "stop"}
                    )
                    return
                with owner.lock:
                    owner.busy += 1
                    owner.busiest = max(owner.busiest, owner.busy)
                time.sleep(owner.slow_s + owner.pauses(body))
                with owner.lock:
                    owner.busy -= 1
                    owner.asked.append(body)
                    status = owner.fails(len(owner.asked))
                if status:
                    self.reply(status, {"error": {"message": "out of order"}})
                    return
                text = owner.answers[body["model"]].get(body["messages"][-1]["content"], "I do not know.")
                choice = {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
                self.reply(200, {"object": "chat.completion", "model": body["model"], "choices": [choice]})

            def reply(self, status, value):
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def models():
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture
def artifacts_url(tmp_path):
    with serve_artifacts(tmp_path / "store") as url:
        yield url


@pytest.fixture(scope="session")
def best_tier():
    return probe()
