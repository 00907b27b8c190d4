"""Two small model servers that really listen: one where the gateway stands, one where a teacher does."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

TEACHER_KEY = "teacher-" + "key-for-tests"


@dataclass
class Asked:
    body: dict[str, Any]
    authorization: str | None
    at: float = field(default_factory=time.monotonic)


class ModelHandler(BaseHTTPRequestHandler):
    """Streams `<name> says: <prompt>` word by word. What it shall do instead is said by the server's `replies`, or by the prompt."""

    protocol_version = "HTTP/1.1"
    server: "ModelServer"
    wbufsize = 0

    def log_message(self, *_: object) -> None:
        return

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        site = self.server
        with site.counting:
            site.asked.append(Asked(body, self.headers.get("authorization")))
            site.at_once += 1
            site.most_at_once = max(site.most_at_once, site.at_once)
            refusal = site.refusals.pop(0) if site.refusals else None
        self.is_over = False
        try:
            if refusal:
                self.refuse(*refusal)
            else:
                self.stream(body, str(body["messages"][-1]["content"]))
        finally:
            self.over()

    def over(self) -> None:
        """No longer counted: before the client knows that its reply is whole, and may ask the next."""
        with self.server.counting:
            self.server.at_once -= not self.is_over
            self.is_over = True

    def refuse(self, status: int, message: str, retry_after: str | None = None) -> None:
        body = json.dumps({"error": {"message": message}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, body: dict[str, Any], prompt: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        words = self.server.answer(prompt).split(" ")
        for number, word in enumerate(words):
            if self.server.hangs and number == 2:
                self.server.hanging.set()
                self.wait_for_the_end()
                return
            if self.server.dies and number == 2:
                self.close_connection = True
                self.connection.close()
                return
            time.sleep(self.server.pause_s)
            self.piece({"delta": {"content": word if number == 0 else f" {word}"}})
        self.piece({"delta": {}, "finish_reason": "stop"})
        self.event(
            {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": len(words), "cost": 0.0125}}
        )
        self.over()
        self.write(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def piece(self, choice: dict[str, Any]) -> None:
        self.event({"choices": [{"index": 0, "finish_reason": None, **choice}]})

    def event(self, fields: dict[str, Any]) -> None:
        self.write(b"data: " + json.dumps({"model": self.server.serves, **fields}).encode() + b"\n\n")

    def write(self, data: bytes) -> None:
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:
            self.server.gone.set()
            raise

    def wait_for_the_end(self) -> None:
        self.connection.settimeout(60)
        with contextlib.suppress(OSError):
            if self.connection.recv(1) == b"":
                self.server.gone.set()
        self.close_connection = True


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, serves: str) -> None:
        super().__init__(("127.0.0.1", 0), ModelHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.serves = serves
        self.counting = threading.Lock()
        self.at_once = 0
        self.reset()

    def reset(self) -> None:
        self.asked: list[Asked] = []
        # Answered first, in turn: status, message, retry-after.
        self.refusals: list[tuple[Any, ...]] = []
        self.most_at_once = 0
        self.pause_s = 0.0
        self.hangs = self.dies = False
        self.hanging, self.gone = threading.Event(), threading.Event()
        self.answer: Callable[[str], str] = lambda prompt: f"{self.serves} says: {prompt}"

    def handle_error(self, *_: object) -> None:
        return


@contextlib.contextmanager
def _serving(site: ModelServer) -> Iterator[ModelServer]:
    threading.Thread(target=site.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()


@pytest.fixture(scope="session")
def model_servers() -> Iterator[tuple[ModelServer, ModelServer]]:
    with _serving(ModelServer("engie-coder:v3")) as gateway, _serving(ModelServer("grand-teacher")) as cloud:
        yield gateway, cloud


@pytest.fixture(scope="session")
def model_environment(model_servers: tuple[ModelServer, ModelServer]) -> dict[str, str]:
    gateway, cloud = model_servers
    return {
        "FORGE_GATEWAY_URL": gateway.url,
        "FORGE_TEACHER_URL": f"{cloud.url}/v1",
        "FORGE_TEACHER_MODEL": "grand-teacher-latest",
        "FORGE_TEACHER_KEY": TEACHER_KEY,
    }


@pytest.fixture
def gateway(model_servers: tuple[ModelServer, ModelServer]) -> ModelServer:
    model_servers[0].reset()
    return model_servers[0]


@pytest.fixture
def cloud(model_servers: tuple[ModelServer, ModelServer]) -> ModelServer:
    """The teacher."""
    model_servers[1].reset()
    return model_servers[1]


@pytest.fixture(scope="session")
def shared_comparer(
    collector_with: Any, model_environment: dict[str, str], shared_database: str
) -> Iterator[Any]:
    process = collector_with(shared_database, **model_environment)
    yield process
    process.end()


@pytest.fixture
def comparer(shared_comparer: Any, gateway: Any, cloud: Any, domains: Any) -> Any:
    """A collector that knows a gateway and a teacher, with an empty database."""
    shared_comparer.drain()
    with shared_comparer.connect() as connection:
        connection.execute(
            "truncate collector.exchanges, collector.feedback, collector.shadow_policy, collector.shadow_calls,"
            " collector.shadow_days, collector.shadow_pauses"
        )
    return shared_comparer


CODING = {"id": "coding", "name": "C", "base_model": "b", "model_prefix": "engie-coder"}


@pytest.fixture
def domains(registry: Any) -> Iterator[None]:
    """The registry knows the domain `coding`."""
    registry.domains["coding"] = CODING
    yield
    registry.domains.pop("coding", None)


# On a busy machine a worker's start alone takes a minute. Less than a call's lease, which would do what was not done.
PATIENCE_S = 180.0


def until(true: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """What `true` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError(f"it did not come true; last: {found}")


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return until
