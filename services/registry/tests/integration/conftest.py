"""The registry as it runs: a real Postgres, a real Redis-protocol server, the app under uvicorn, the typed client.

Only the engine is ours here (the registry installs without one): an HTTP server that keeps models by name and answers by
what they are made of. The real engine is met in the tests that cross services.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
import redis
import uvicorn

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import ArtifactRef
from forge_common.contracts.runs import RunKind, RunRequest, RunView
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import (
    ClaimRequest,
    Deployable,
    EvaluateResult,
    StageClaim,
    StageDelivery,
    StageFailure,
    StageKind,
    StageResult,
)
from forge_common.contracts.tasks import DEPLOY, EVALUATE, PREPARE, SWEEP, TRAIN_CPU
from forge_common.contracts.workers import WorkerHello
from forge_common.db.migrate import upgrade
from forge_common.http.registry import RegistryClient
from forge_common.local.process import free_port
from forge_registry.app import create_app
from forge_registry.context import Context
from forge_registry.settings import Settings
from forge_registry.sweeper import sweep

KEY = "the-installation-key"


class Crowded(ThreadingHTTPServer):
    """Twenty callers at once: the default backlog of five would reset some of them."""

    request_queue_size = 128


class EngineServer:
    """The part of the engine's API that the registry uses. `models`: name → what it is made of."""

    def __init__(self) -> None:
        self.models: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.lies: dict[str, str] = {}
        self.broken = False
        self.hold = threading.Event()  # cleared: every call hangs
        self.hold.set()
        self.calls: list[tuple[str, dict]] = []
        self._server = Crowded(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, model: str) -> str:
        return self.lies.get(model, "tuned answer" if "+" in self.models[model] else "base answer")

    def forget_everything(self) -> None:
        """Another engine answers at the same URL."""
        self.models.clear()
        self.blobs.clear()

    def make(self, model: str, base: str, adapter: str) -> str:
        """The digest that it is then listed with."""
        self.models[model] = f"{base}+{adapter}" if adapter else base
        return self.models[model]

    def handle(self, path: str, body: dict) -> tuple[int, object]:
        self.calls.append((path, body))
        self.hold.wait(20)
        if self.broken:
            return 500, {"error": "runner process has terminated"}
        named = body.get("model") or body.get("source")
        if path == "/api/create":
            base = body["files"]["model.gguf"] if "files" in body else self.models[body["from"]]
            adapter = "".join(body.get("adapters", {}).values())
            self.make(named, base, adapter)
            return 200, {"status": "success"}
        if named not in self.models:
            return 404, {"error": f"model '{named}' not found"}
        if path == "/api/copy":
            self.models[body["destination"]] = self.models[named]
            return 200, {}
        return 200, {"message": {"role": "assistant", "content": self.answer(named)}, "done": True}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def reply(self, status, body=None):
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_HEAD(self):
                self.reply(200 if self.path in engine.blobs else 404)

            def do_GET(self):
                tags = [{"name": n, "digest": made, "size": 1} for n, made in engine.models.items()]
                self.reply(200, {"models": tags})

            def do_POST(self):
                if self.path.startswith("/api/blobs"):
                    engine.blobs[self.path] = self.read_chunks()
                    return self.reply(201)
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                return self.reply(*engine.handle(self.path, body))

            def read_chunks(self):
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data

        return Handler


@pytest.fixture
def engine() -> Iterator[EngineServer]:
    server = EngineServer()
    yield server
    server.stop()


@pytest.fixture
def broker_url(redis_url: str) -> str:
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushdb()
    return redis_url


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    """A migrated database that each test gets a copy of."""
    name = f"registry_{secrets.token_hex(4)}"
    _administrate(postgres_url, f"create database {name}")
    upgrade(_sibling(postgres_url, name), package="forge_registry", schema="registry")
    return name


@pytest.fixture
def migrated_url(postgres_url: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    _administrate(postgres_url, f"create database {name} template {template}")
    yield _sibling(postgres_url, name)
    _administrate(postgres_url, f"drop database {name} with (force)")


def _administrate(postgres_url: str, statement: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)


def _sibling(postgres_url: str, name: str) -> str:
    return f"{postgres_url.rpartition('/')[0]}/{name}"


@pytest.fixture
def settings(migrated_url: str, broker_url: str, engine: EngineServer, tmp_path: Path) -> Settings:
    return Settings(
        key=KEY,
        database_url=migrated_url,
        broker_url=broker_url,
        engine_url=engine.url,
        home=tmp_path,
        log_level="WARNING",
    )


@pytest.fixture
def serve() -> Iterator[Callable[[Settings], str]]:
    """Starts the app under uvicorn and returns its URL."""
    stops = []

    def start(settings: Settings) -> str:
        port = free_port()
        server = uvicorn.Server(
            uvicorn.Config(create_app(settings), port=port, log_config=None, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        stops.append((server, thread))
        while not server.started:
            assert thread.is_alive(), "the app did not start"
            time.sleep(0.01)
        return f"http://127.0.0.1:{port}"

    yield start
    for server, thread in stops:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def registry(settings: Settings, serve: Callable[[Settings], str]) -> RegistryClient:
    return RegistryClient(serve(settings), KEY)


@pytest.fixture
def context(settings: Settings) -> Iterator[Context]:
    """The worker's side: what a sweep has."""
    made = Context(settings)
    yield made
    made.database.dispose()


@pytest.fixture
def queued(broker_url: str) -> Callable[[str], list[str]]:
    """The messages that wait in a queue, newest first."""
    connection = redis.Redis.from_url(broker_url)
    return lambda queue: [message.decode() for message in connection.lrange(queue, 0, -1)]


class Hand:
    """Does by hand what workers do: claims stages, delivers results, uploads what they name."""

    def __init__(
        self, registry: RegistryClient, make, engine: EngineServer, context: Context, tmp_path: Path
    ):
        self.registry, self.make, self.engine, self.context = registry, make, engine, context
        self.artifacts = ArtifactClient(registry.base_url, KEY, tmp_path / "cache")
        for queues in ((PREPARE.queue,), (TRAIN_CPU.queue,), (DEPLOY.queue, SWEEP.queue), (EVALUATE.queue,)):
            registry.hello(WorkerHello(name=queues[0], service="test", queues=queues))
        self.artifacts.push_bytes(make.BENCHMARK, "benchmark")

    def domain(self, name: str = "tiny", **changes) -> None:
        self.registry.put_domain(self.make.document(name, **changes))

    def upload(self, text: str, kind: str = "gguf") -> ArtifactRef:
        return self.artifacts.push_bytes(text.encode(), kind)

    def start(self, domain: str = "tiny", kind: RunKind = RunKind.TRAIN, **changes) -> RunView:
        return self.registry.start_run(RunRequest(domain=domain, kind=kind, **changes))

    def open_stage(self, run: RunView):
        return self.registry.run(run.id).stages[-1]

    def claim(self, run: RunView, worker: str = "w1", claim_id: str = "c1") -> StageClaim:
        return self.registry.claim(self.open_stage(run).id, ClaimRequest(worker=worker, claim_id=claim_id))

    def deliver(self, claim: StageClaim, result: StageResult) -> None:
        self.registry.deliver(claim.stage_id, StageDelivery(token=claim.token, result=result))

    def fail(self, claim: StageClaim, *, retryable: bool) -> None:
        failure = StageFailure(code="broke", message="it broke", fix="mend it", retryable=retryable)
        self.registry.deliver(claim.stage_id, StageDelivery(token=claim.token, failure=failure))

    def result(self, run: RunView, claim: StageClaim, verdict: Verdict) -> StageResult:
        request, make = claim.request, self.make
        match request.kind:
            case StageKind.PREPARE:
                return make.prepared(self.upload("rows", "dataset"))
            case StageKind.TRAIN:
                return make.trained(self.upload("weights", "adapter"))
            case StageKind.EXPORT:
                tuned = self.upload(f"lora of {run.id}") if request.adapter else None
                return make.exported(request.base_gguf or self.upload("the base"), tuned)
            case StageKind.DEPLOY:
                return make.deployed(**{version.model: self._put(version) for version in request.versions})
            case StageKind.EVALUATE:
                card = make.scorecard(verdict, request.candidate, request.incumbent)
                return EvaluateResult(scorecard=card, report=self.upload("samples", "report"))

    def _put(self, version: Deployable) -> str:
        adapter = f"sha256:{version.adapter.sha256}" if version.adapter else ""
        return self.engine.make(version.model, f"sha256:{version.gguf.sha256}", adapter)

    def step(self, run: RunView, verdict: Verdict = Verdict.PROMOTE) -> StageClaim:
        claim = self.claim(run)
        self.deliver(claim, self.result(run, claim, verdict))
        return claim

    def until(self, run: RunView, stage: StageKind) -> None:
        """Work on the run until `stage` is open."""
        while self.open_stage(run).kind is not stage:
            self.step(run)

    def finish(self, run: RunView, verdict: Verdict = Verdict.PROMOTE) -> RunView:
        while not self.registry.run(run.id).state.is_final:
            if self.open_stage(run).result is None:
                self.step(run, verdict)
            else:
                sweep(self.context)
        return self.registry.run(run.id)

    def train(self, domain: str = "tiny", verdict: Verdict = Verdict.PROMOTE) -> RunView:
        return self.finish(self.start(domain), verdict)


@pytest.fixture
def hand_at(make, engine: EngineServer, context: Context, tmp_path: Path) -> Callable[[RegistryClient], Hand]:
    return lambda registry: Hand(registry, make, engine, context, tmp_path)


@pytest.fixture
def hand(hand_at: Callable[[RegistryClient], Hand], registry: RegistryClient) -> Hand:
    return hand_at(registry)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits for what another thread does."""

    def wait(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.02)

    return wait
