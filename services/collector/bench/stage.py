"""What stands while a benchmark runs: the upstream, a durable Postgres, the collector as `forge up` starts it, nginx."""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg

from forge_collector.models import SCHEMA
from forge_common.db.migrate import upgrade
from forge_common.local.postgres import Postgres
from forge_common.local.process import free_port
from forge_common.testing.peers import nginx, nginx_path, serving
from forge_common.testing.plugin import server_folder, stopping

HERE = Path(__file__).parent
KEY = "forge-key-of-the-benchmarks"


@dataclass(frozen=True)
class Cpu:
    """Seconds used: by the thread that carries the traffic, and by all the others (drainer, fsync, large bodies)."""

    loop: float
    others: float

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.loop - other.loop, self.others - other.others)


@dataclass(frozen=True)
class Target:
    """A way to the upstream; `process` is None for the direct one."""

    name: str
    port: int
    process: psutil.Process | None = None

    def cpu(self) -> Cpu:
        if self.process is None:
            return Cpu(0, 0)
        threads = self.process.threads()
        loop = [each for each in threads if each.id == min(thread.id for thread in threads)]
        children = [child.cpu_times() for child in self.process.children(recursive=True)]
        return Cpu(
            sum(each.user_time + each.system_time for each in loop),
            sum(each.user_time + each.system_time for each in threads if each not in loop)
            + sum(times.user + times.system for times in children),
        )

    def rss_mb(self) -> float:
        return self.process.memory_info().rss / 1e6 if self.process else 0.0


@dataclass(frozen=True)
class Collector(Target):
    database_url: str = ""

    def api(self, method: str, path: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/forge/v1/{path}"
        reply = httpx2.request(method, url, headers={"x-forge-key": KEY}, timeout=120)
        reply.raise_for_status()
        return reply.json()

    def drain(self) -> None:
        self.api("POST", "drain")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url.replace("+psycopg", "")) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]


@contextlib.contextmanager
def upstream() -> Iterator[Target]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "upstream.py"), str(port)]
        with serving(command, port, log=Path(folder, "log")):
            yield Target("direct", port)


@contextlib.contextmanager
def database() -> Iterator[str]:
    """FORGE_TEST_DATABASE_URL's server, else one of this machine's own, fsync and all; a fresh database in it."""
    with contextlib.ExitStack() as stack:
        url = os.environ.get("FORGE_TEST_DATABASE_URL") or stack.enter_context(_own_postgres())
        name = f"bench_{secrets.token_hex(6)}"
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'create database "{name}"')  # type: ignore[arg-type]
            url = f"{url.rpartition('/')[0]}/{name}"
            upgrade(url, package="forge_collector", schema=SCHEMA)
            yield url
            connection.execute(f'drop database "{name}" with (force)')  # type: ignore[arg-type]


@contextlib.contextmanager
def _own_postgres() -> Iterator[str]:
    with server_folder() as folder:
        server = Postgres.at(
            folder / "data", port=free_port(), password=secrets.token_hex(8), log=folder / "log"
        )
        with stopping(server.start()):
            yield server.url("postgres")


@contextlib.contextmanager
def collector(origin: Target, database_url: str, **settings: str) -> Iterator[Collector]:
    """`settings` are environment variables without their prefix, e.g. drain_linger."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "FORGE_HOME": str(Path(folder, "home")),
            "FORGE_KEY": KEY,
            "FORGE_DATABASE_URL": database_url,
            # Nobody is there: the collector asks now and then, and goes on with the domain that it knows.
            "FORGE_REGISTRY_URL": f"http://127.0.0.1:{free_port()}",
            "FORGE_COLLECTOR_PORT": str(port),
            "FORGE_COLLECTOR_OPENAI_UPSTREAM": f"http://127.0.0.1:{origin.port}/v1",
            **{f"FORGE_COLLECTOR_{name.upper()}": value for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "forge_collector"]
        with serving(command, port, log=Path(folder, "log"), env={**os.environ, **env}) as process:
            yield Collector("collector", port, process, database_url)


@contextlib.contextmanager
def stage() -> Iterator[tuple[Target, Target | None, Collector]]:
    """Direct, nginx where it is installed, the collector."""
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(upstream())
        peer = Target("nginx", *stack.enter_context(nginx(direct.port))) if nginx_path() else None
        url = stack.enter_context(database())
        yield direct, peer, stack.enter_context(collector(direct, url))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [list(columns), *[[_text(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    print(f"\n{title}")
    for row in cells:
        print(
            "  ".join(
                [
                    row[0].ljust(widths[0]),
                    *[cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)],
                ]
            )
        )


def _text(cell: object) -> str:
    return "" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell)
