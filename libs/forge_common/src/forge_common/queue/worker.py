"""A worker process: joins at the registry, gets the broker's address, consumes its queues, says hello every few seconds.

Runs tasks in threads of one process, one at a time by default; heavy work goes to a fresh child (`child.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from celery import Celery
from kombu import Queue

from forge_common.contracts.tasks import P, TaskSpec
from forge_common.contracts.workers import WorkerHello, WorkerWelcome
from forge_common.errors import DependencyDown
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger
from forge_common.queue.celery import make_celery
from forge_common.settings import CommonSettings

log = get_logger()
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
LONGEST_WAIT_S = 30.0


def make_worker(name: str, broker_url: str, queues: Iterable[str]) -> Celery:
    """The Celery app of a worker that consumes `queues` and nothing else."""
    app = make_celery(name, broker_url)
    app.conf.task_queues = [Queue(queue) for queue in queues]
    app.conf.task_create_missing_queues = False
    return app


def handles(app: Celery, spec: TaskSpec[P]) -> Callable[[Callable[[P], None]], Callable[[str], None]]:
    """Register a function as the handler of `spec`; it gets the validated payload."""

    def register(handler: Callable[[P], None]) -> Callable[[str], None]:
        @app.task(name=spec.name, ignore_result=True, shared=False)  # type: ignore[untyped-decorator]
        def task(payload_json: str) -> None:
            handler(spec.payload.model_validate_json(payload_json))

        registered: Callable[[str], None] = task
        return registered

    return register


def run_worker(
    hello: WorkerHello,
    settings: CommonSettings,
    build: Callable[[str], Celery],
    *,
    concurrency: int = 1,
    beat: bool = False,
    refresh: Callable[[WorkerHello], WorkerHello] = lambda hello: hello,
) -> None:
    """Join at the registry, then consume until a signal. `build` makes the app for the broker URL that the registry hands out.

    Waits for a registry that is not up yet; a refused key ends the process with the reason. Each hello is `refresh`ed.
    """
    registry = RegistryClient(settings.registry_url, settings.key_text)
    welcome = join(registry, refresh(hello))
    telling = (registry, hello, refresh, welcome.beat_s)
    threading.Thread(target=_keep_saying_hello, args=telling, daemon=True).start()
    app = build(settings.worker_broker or broker_for(welcome, settings.registry_url))
    log.info("worker.started", name=hello.name, queues=hello.queues)
    arguments = [
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        str(concurrency),
        "--hostname",
        f"{hello.name}@%h",
    ]
    arguments += [
        "--loglevel",
        settings.log_level,
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]
    app.worker_main([*arguments, "--beat"] if beat else arguments)


def broker_for(welcome: WorkerWelcome, registry_url: str) -> str:
    """The broker's URL: over TLS where the registry is spoken to over TLS and has such a way in."""
    over_tls = welcome.tls_broker_url if urlsplit(registry_url).scheme == "https" else None
    return as_seen_from_here(over_tls or welcome.broker_url, registry_url)


def as_seen_from_here(broker_url: str, registry_url: str) -> str:
    """The broker's URL; one that says loopback means the registry's machine, which may not be this one."""
    broker, registry = urlsplit(broker_url), urlsplit(registry_url)
    if broker.hostname not in LOOPBACK or registry.hostname is None or registry.hostname in LOOPBACK:
        return broker_url
    login, at, _ = broker.netloc.rpartition("@")
    return broker._replace(netloc=f"{login}{at}{registry.hostname}:{broker.port or 6379}").geturl()


def join(registry: RegistryClient, hello: WorkerHello, *, retry_s: float = 1.0) -> WorkerWelcome:
    """Say hello until the registry answers: at once where both have just been started, every half minute through a night."""
    while True:
        try:
            return registry.hello(hello)
        except DependencyDown as error:
            log.warning("registry.awaited", reason=str(error), next_in_s=retry_s)
            time.sleep(retry_s)
            retry_s = min(2 * retry_s, LONGEST_WAIT_S)


def _keep_saying_hello(
    registry: RegistryClient,
    hello: WorkerHello,
    refresh: Callable[[WorkerHello], WorkerHello],
    beat_s: float,
) -> None:
    while True:
        time.sleep(beat_s)
        try:
            registry.hello(refresh(hello))
        except Exception as error:  # noqa: BLE001  the next beat tries again; the worker works on meanwhile
            log.warning("hello.failed", reason=str(error))
