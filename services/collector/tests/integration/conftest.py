"""A collector process between the official SDK and a small real upstream; a small registry for domains and artifacts."""

import contextlib
import hashlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import psycopg
import pytest
from openai import OpenAI

from forge_collector.models import SCHEMA
from forge_common.artifacts import ArtifactMissing, ArtifactStore
from forge_common.db.migrate import upgrade
from forge_common.local.process import free_port

KEY = "forge-key-for-tests"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Site"
    # Each piece leaves at once, in its own packet.
    wbufsize = 0

    def log_message(self, *_: object) -> None:
        return

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(6, 1, 1)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def send(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Site(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        return


class TeacherHandler(Handler):
    """Answers `/v1/chat/completions` from the prompt; words in it choose how: `slow`, `hang`, `refuse`, `gzip`, `die`."""

    server: "Teacher"

    def do_GET(self) -> None:
        self.send(200, b'{"object":"list","data":[]}', x_upstream="yes")

    def do_POST(self) -> None:
        body = self.body()
        self.server.requests.append((dict(self.headers), body))
        if not self.path.endswith("/chat/completions"):
            self.send(200, b'{"path":"' + self.path.encode() + b'"}')
            return
        request = json.loads(body)
        prompt = request["messages"][-1]["content"]
        if prompt.startswith("refuse"):
            self.send(429, b'{"error":{"message":"slow down"}}', retry_after="7", x_ratelimit_remaining="0")
        elif request.get("stream"):
            self.stream(prompt)
        else:
            self.whole(prompt)

    def whole(self, prompt: str) -> None:
        if prompt.startswith("hang"):
            self.wait_for_the_end()
            return
        reply = completion(prompt)
        if prompt.startswith("gzip"):
            import gzip

            self.send(200, gzip.compress(reply, mtime=0), content_encoding="gzip")
        else:
            self.send(200, reply, openai_processing_ms="12")

    def stream(self, prompt: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i, piece in enumerate(stream_pieces(prompt)):
            if prompt.startswith("die") and i == 12:
                self.close_connection = True
                self.connection.close()
                return
            if prompt.startswith("hang") and i == 3:
                self.wait_for_the_end()
                return
            if prompt.startswith("slow"):
                time.sleep(0.02)
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            except OSError:
                self.server.gone.set()
                return
        self.wfile.write(b"0\r\n\r\n")

    def wait_for_the_end(self) -> None:
        self.server.hanging.set()
        self.connection.settimeout(60)
        with contextlib.suppress(OSError):
            if self.connection.recv(1) == b"":
                self.server.gone.set()
        self.close_connection = True


class Teacher(Site):
    @staticmethod
    def answer_to(prompt: str) -> str:
        return answer_to(prompt)

    def __init__(self) -> None:
        self.reset()
        super().__init__(TeacherHandler)

    def reset(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.gone = threading.Event()
        self.hanging = threading.Event()


def answer_to(prompt: str) -> str:
    return f"The answer to “{prompt}” is {hashlib.sha256(prompt.encode()).hexdigest()[:12]} — naïve 😀"


def completion(prompt: str) -> bytes:
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "teacher-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer_to(prompt)},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        "unknown_field": {"kept": True},
    }
    return json.dumps(reply, ensure_ascii=False).encode()


def stream_pieces(prompt: str) -> list[bytes]:
    """The stream in awkward pieces: events across pieces, several in one, characters cut in two, two kinds of line ends."""
    events = [delta({"role": "assistant", "content": ""})]
    events += [delta({"content": word}) for word in answer_to(prompt).partition(" is ")]
    events += [delta({}, "stop")]
    events += [
        event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}})
    ]
    wire = b"".join(events).replace(b"\n\n", b"\r\n\r\n", 2) + b"data: [DONE]\n\n"
    return [wire[i : i + 37] for i in range(0, len(wire), 37)]


def delta(content: dict[str, Any], finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": content, "finish_reason": finish}]})


def event(chunk: dict[str, Any]) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "teacher-2026", **chunk}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


class RegistryHandler(Handler):
    """Domains, the active domain, artifacts: what the collector asks a registry."""

    server: "RegistrySite"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/v1/pointers":
            self.send(200, json.dumps(self.server.pointers(self.path)).encode())
        elif path == "/v1/domains":
            self.send(200, json.dumps(list(self.server.domains.values())).encode())
        elif path.endswith("/versions"):
            self.send(200, json.dumps(self.server.versions.get(path.split("/")[3], [])).encode())
        elif path == "/v1/runs" and self.server.runs is not None:
            self.send(200, json.dumps(self.server.runs).encode())
        elif path.startswith("/v1/domains/"):
            self.send(200, json.dumps(self.server.domains[path.rpartition("/")[2]]).encode())
        else:
            self.artifact(path)

    def do_HEAD(self) -> None:
        self.send_response(200 if self.server.store.has(self.path.rpartition("/")[2]) else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self) -> None:
        self.server.store.put(self.path.rpartition("/")[2], [self.body()])
        self.send(201, b"{}")

    def do_DELETE(self) -> None:
        """Forget a dataset, unless a run is working with it."""
        if self.server.busy:
            self.send(409, b'{"code":"dataset_in_use","detail":"run run_1 is working with it"}')
            return
        self.server.forgotten.append(self.path.rpartition("/")[2].partition("?")[0])
        self.server.kept.append(dict(parse_qsl(urlsplit(self.path).query)))
        self.send(200, b"[]")

    def do_POST(self) -> None:
        """The worker's side: hello, claim, heartbeat, result."""
        body = json.loads(self.body())
        if self.path == "/v1/workers":
            self.server.hellos.append(body)
            self.send(200, json.dumps({"broker_url": self.server.broker_url, "beat_s": 1.0}).encode())
        elif self.path.endswith("/claim"):
            self.send(200, json.dumps(self.server.claim).encode())
        elif self.path.endswith("/heartbeat"):
            self.send(200, b'{"lease_s": 30}')
        else:
            self.server.deliveries.put(body)
            self.send(200, b"{}")

    def artifact(self, path: str) -> None:
        try:
            self.send(
                200, self.server.store.path(path.rpartition("/")[2]).read_bytes(), "application/octet-stream"
            )
        except ArtifactMissing:
            self.send(404, b'{"code":"artifact_missing","detail":"no artifact"}')


class RegistrySite(Site):
    def __init__(self, root: Path) -> None:
        self.active, self.revision, self.polls = "coding", 1, 0
        self.moved = threading.Condition()
        self.broker_url = ""
        # Newest first; without any it answers 404.
        self.runs: list[dict[str, Any]] | None = None
        self.claim: dict[str, Any] = {}
        self.hellos: list[dict[str, Any]] = []
        self.deliveries: queue.Queue[dict[str, Any]] = queue.Queue()
        self.domains: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, list[dict[str, Any]]] = {}
        self.forgotten: list[str] = []
        self.kept: list[dict[str, str]] = []
        self.busy = False
        self.store = ArtifactStore(root)
        super().__init__(RegistryHandler)

    def activate(self, domain: str) -> None:
        with self.moved:
            self.active = domain
            self.revision += 1
            self.moved.notify_all()

    def pointers(self, target: str) -> dict[str, Any]:
        """Waits as the registry does."""
        asked = dict(parse_qsl(urlsplit(target).query))
        self.polls += 1
        with self.moved:
            if asked.get("after") == str(self.revision):
                self.moved.wait(float(asked.get("wait_s", 0)))
            return {"revision": self.revision, "active": self.active, "pointers": []}


@contextlib.contextmanager
def serving(site: Site) -> Iterator[None]:
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        site.shutdown()
        site.server_close()


@pytest.fixture(scope="session")
def shared_teacher() -> Iterator[Teacher]:
    site = Teacher()
    with serving(site):
        yield site


@pytest.fixture(scope="session")
def shared_database(postgres_url: str) -> Iterator[str]:
    name = f"collector_{secrets.token_hex(6)}"
    server = postgres_url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    url = f"{postgres_url.rpartition('/')[0]}/{name}"
    upgrade(url, package="forge_collector", schema=SCHEMA)
    yield url
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def teacher(shared_teacher: Teacher) -> Teacher:
    shared_teacher.reset()
    return shared_teacher


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrySite]:
    site = RegistrySite(tmp_path_factory.mktemp("registry"))
    with serving(site):
        yield site


@dataclass
class CollectorProcess:
    env: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.env, "FORGE_COLLECTOR_PORT": str(self.port)}

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "forge_collector"], env=self.environ, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Until its API answers."""
        assert self.process is not None
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(f"{self.url}/forge/v1/health", timeout=5)
                return
            time.sleep(0.05)
        self.kill()
        raise AssertionError(self.log.read_text())

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)

    def api(self, method: str, path: str, **more: Any) -> Any:
        reply = httpx2.request(
            method, f"{self.url}/forge/v1/{path}", headers={"x-forge-key": KEY}, timeout=30, **more
        )
        assert reply.is_success, reply.text
        return reply.json()

    def health(self) -> Any:
        return httpx2.get(f"{self.url}/forge/v1/health", timeout=30).json()

    def drain(self) -> None:
        assert self.api("POST", "drain") == {"drained": True}, self.log.read_text()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill(signal.SIGTERM)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.env["FORGE_DATABASE_URL"].replace("+psycopg", ""))

    def stored(self) -> list[dict[str, Any]]:
        """All exchanges in Postgres, in the order of capture."""
        with self.connect() as connection:
            rows = connection.execute("select document from collector.exchanges order by id").fetchall()
        return [json.loads(document) for (document,) in rows]

    def sdk(self, **more: Any) -> OpenAI:
        return OpenAI(
            base_url=f"{self.url}/v1", api_key="sk-caller-secret-0123456789abcdef", max_retries=0, **more
        )


def environment(home: Path, database_url: str, teacher: Teacher, registry: RegistrySite) -> dict[str, str]:
    return {
        "FORGE_HOME": str(home),
        "FORGE_KEY": KEY,
        "FORGE_DATABASE_URL": database_url,
        "FORGE_REGISTRY_URL": registry.url,
        "FORGE_COLLECTOR_OPENAI_UPSTREAM": f"{teacher.url}/v1",
        # Dozens of homes of one test run would reserve gigabytes.
        "FORGE_COLLECTOR_SPOOL_RESERVE": "1MB",
    }


@pytest.fixture(scope="session")
def collector_with(
    shared_teacher: Teacher, registry: RegistrySite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., CollectorProcess]]:
    """Starts a collector on a migrated database with further settings; ends it with the session."""
    running: list[CollectorProcess] = []

    def start(database_url: str, **settings: str) -> CollectorProcess:
        folder = tmp_path_factory.mktemp("collector")
        env = environment(folder / "home", database_url, shared_teacher, registry) | settings
        running.append(CollectorProcess(env, folder / "collector.log"))
        running[-1].start()
        return running[-1]

    yield start
    for process in running:
        process.end()


@pytest.fixture(scope="session")
def shared_collector(
    shared_teacher: Teacher,
    registry: RegistrySite,
    shared_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("collector")
    env = environment(folder / "home", shared_database, shared_teacher, registry)
    process = CollectorProcess(env, folder / "collector.log")
    process.start()
    yield process
    process.end()


@pytest.fixture
def collector(shared_collector: CollectorProcess, teacher: Teacher) -> CollectorProcess:
    """A collector that runs all the session long, with an empty database."""
    shared_collector.drain()
    with shared_collector.connect() as connection:
        connection.execute(
            "truncate collector.exchanges, collector.feedback, collector.datasets, collector.dataset_members"
        )
    return shared_collector


@pytest.fixture
def own_collector_at(
    teacher: Teacher, registry: RegistrySite, tmp_path: Path
) -> Callable[[str], CollectorProcess]:
    """Starts a collector on a database."""

    def start(database_url: str) -> CollectorProcess:
        upgrade(database_url, package="forge_collector", schema=SCHEMA)
        env = environment(tmp_path / "home", database_url, teacher, registry)
        process = CollectorProcess(env, tmp_path / "collector.log")
        process.start()
        return process

    return start


@pytest.fixture
def own_collector(
    own_collector_at: Callable[[str], CollectorProcess], database_url: str
) -> Iterator[CollectorProcess]:
    """A collector for tests that kill it."""
    process = own_collector_at(database_url)
    yield process
    process.end()
