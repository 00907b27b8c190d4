"""What stands while the loss table is made, and can be killed, stopped, frozen or filled: collector, Postgres, Redis, a small disk."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
from stage import KEY, upstream

from forge_collector.models import SCHEMA
from forge_common.db.migrate import upgrade
from forge_common.local.postgres import Postgres
from forge_common.local.process import free_port
from forge_common.local.redis import Redis
from forge_common.testing.plugin import server_folder, stopping

START_S = 60.0
DRAIN_S = 300.0


class Server:
    """Postgres or Redis: stopped as by a crash, started again, or frozen."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], crash: signal.Signals) -> None:
        self._start, self._crash = start, crash
        self.process = start()

    def start(self) -> None:
        self.process = self._start()

    def stop(self) -> None:
        self.process.send_signal(self._crash)
        self.process.wait(30)

    def freeze(self) -> None:
        self._tell(signal.SIGSTOP)

    def thaw(self) -> None:
        self._tell(signal.SIGCONT)

    def _tell(self, number: signal.Signals) -> None:
        main = psutil.Process(self.process.pid)
        for process in (main, *main.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class Collector:
    def __init__(self, home: Path, **env: str) -> None:
        self.home, self.port, self.log = home, free_port(), home / "collector.log"
        self._env = {**os.environ, **env, "FORGE_HOME": str(home), "FORGE_KEY": KEY}
        self._env["FORGE_COLLECTOR_PORT"] = str(self.port)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def spool(self) -> Path:
        return self.home / "collector" / "spool"

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "forge_collector"]
            self.process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until its API answers."""
        assert self.process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(httpx2.TransportError):
                self.health()
                return
            time.sleep(0.02)
        raise SystemExit(f"the collector did not start: {self.log.read_text()[-2000:]}")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise SystemExit(f"the collector ended by itself: {self.log.read_text()[-2000:]}")
        self.process.send_signal(number)
        self.process.wait(30)

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = self._ask("GET", "/forge/v1/health").json()
        return health

    def drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while not self._ask("POST", "/forge/v1/drain").json()["drained"]:
            if time.monotonic() > deadline:
                raise SystemExit(f"the spool was not drained: {self.health()}")

    def metric(self, name: str) -> float:
        lines = self._ask("GET", "/forge/metrics").text.splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"forge_collector_{name}")
        )

    def _ask(self, method: str, path: str) -> httpx2.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        reply = httpx2.request(method, url, headers={"x-forge-key": KEY}, timeout=60)
        reply.raise_for_status()
        return reply


class Scene:
    def __init__(self, collector: Collector, postgres: Server, redis: Server, url: str) -> None:
        self.collector, self.postgres, self.redis = collector, postgres, redis
        self._url = url.replace("+psycopg", "")

    def stored(self) -> Counter[str]:
        """How often each prompt is in Postgres."""
        with psycopg.connect(self._url) as connection:
            rows = connection.execute("select document from collector.exchanges").fetchall()
        return Counter(
            json.loads(document)["messages"][-1]["content"].partition(":")[0] for (document,) in rows
        )


@contextlib.contextmanager
def scene(disk_mb: int | None = None, **settings: str) -> Iterator[Scene]:
    """`disk_mb`: the spool's folder is a disk of its own of that size, for which one must be root.

    `settings` are the collector's environment variables without their prefix.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(server_folder())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        origin = stack.enter_context(upstream())
        postgres, url = _postgres(folder)
        stack.callback(lambda: _end(postgres))
        redis, broker = _redis(folder)
        stack.callback(lambda: _end(redis))
        upgrade(url, package="forge_collector", schema=SCHEMA)
        collector = Collector(
            home,
            FORGE_DATABASE_URL=url,
            FORGE_BROKER_URL=broker,
            # Nobody is there: the collector asks now and then, and goes on with the domain that it knows.
            FORGE_REGISTRY_URL=f"http://127.0.0.1:{free_port()}",
            FORGE_COLLECTOR_OPENAI_UPSTREAM=f"http://127.0.0.1:{origin.port}/v1",
            **{f"FORGE_COLLECTOR_{name.upper()}": value for name, value in settings.items()},
        )
        if disk_mb is not None:
            stack.enter_context(small_disk(collector.spool, disk_mb))
        collector.start()
        stack.callback(lambda: collector.kill(signal.SIGTERM))
        yield Scene(collector, postgres, redis, url)


def can_mount() -> bool:
    """Whether we may have a small disk: root on Linux, in a container that lets it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder, "disk"), 1):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    options = f"size={megabytes}m,mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Somebody else takes all that is left on the disk."""
    greedy = folder / "somebody-elses"
    with contextlib.suppress(OSError), greedy.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    try:
        yield
    finally:
        greedy.unlink()


def _postgres(folder: Path) -> tuple[Server, str]:
    data, log, password = folder / "data", folder / "postgres.log", secrets.token_hex(8)
    server = Postgres.at(data, port=free_port(), password=password, log=log)
    # Not a clean end but the one that needs recovery: what was committed must be on disk.
    return Server(server.start, signal.SIGQUIT), server.url("forge")


def _redis(folder: Path) -> tuple[Server, str]:
    server = Redis.at(folder, port=free_port(), password=secrets.token_hex(8), log=folder / "redis.log")
    return Server(server.start, signal.SIGKILL), server.url()


def _end(server: Server) -> None:
    with stopping(server.process):
        pass
