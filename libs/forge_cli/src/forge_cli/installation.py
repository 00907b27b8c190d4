"""One installation under `$FORGE_HOME`: its secrets, ports and addresses. The environment overrides what is saved."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from forge_common.errors import Invalid
from forge_common.local.process import free_port, listens

# Where each part listens when nobody says otherwise; a taken port is replaced once, and the choice is kept.
DEFAULT_PORTS = {
    "gateway": 18793,
    "collector": 18794,
    "registry": 18795,
    "postgres": 18796,
    "redis": 18797,
    "engine": 18798,
    "teacher": 18799,
    # The same parts over TLS, for other machines.
    "gateway_tls": 18843,
    "collector_tls": 18844,
    "registry_tls": 18845,
    "redis_tls": 18847,
}


OLLAMA = "http://127.0.0.1:11434"
LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  only when asked for, and then with keys


@dataclass(frozen=True)
class Installation:
    """Everything that one FORGE_HOME holds. Cheap: reads small files when asked."""

    home: Path

    @classmethod
    def find(cls) -> Installation:
        """The installation that FORGE_HOME names, by default `~/.forge`; its folder is made when missing."""
        home = Path(os.environ.get("FORGE_HOME", "~/.forge")).expanduser().absolute()
        home.mkdir(parents=True, exist_ok=True)
        return cls(home)

    @property
    def logs(self) -> Path:
        return self._folder("logs")

    @property
    def run(self) -> Path:
        return self._folder("run")

    def secret(self, name: str) -> str:
        """A random secret, made on first use, kept with mode 0600."""
        return self._remembered("secrets.json", name, lambda: secrets.token_urlsafe(32), mode=0o600)

    @property
    def bind(self) -> str:
        """What gateway, collector, registry and broker listen on: FORGE_BIND, which is loopback or every interface.

        Raises Invalid for another address: our own health checks and commands go to loopback.
        """
        given = os.environ.get("FORGE_BIND", LOOPBACK)
        if given not in (LOOPBACK, EVERYWHERE):
            raise Invalid(f"cannot bind to {given}", fix=f"{LOOPBACK}, or {EVERYWHERE} and a firewall")
        return given

    @property
    def is_tls(self) -> bool:
        """FORGE_TLS: other machines come in over TLS only, and everything else stays on loopback."""
        return os.environ.get("FORGE_TLS", "") not in ("", "0")

    @property
    def listens_on(self) -> str:
        """What the parts themselves listen on: with TLS only the door is open to others."""
        return LOOPBACK if self.is_tls else self.bind

    @property
    def certificates(self) -> Path:
        return self._folder("tls")

    @property
    def key(self) -> str:
        """The installation's own key: FORGE_KEY, else the saved one."""
        return os.environ.get("FORGE_KEY") or self.secret("key")

    def port(self, part: str) -> int:
        """The port of `part`: FORGE_<PART>_PORT, else the saved one, else its default when free, else any free one."""
        if given := os.environ.get(f"FORGE_{part.upper()}_PORT"):
            return int(given)
        default = DEFAULT_PORTS[part]
        return int(
            self._remembered("ports.json", part, lambda: str(free_port() if listens(default) else default))
        )

    def engine(self) -> str:
        """The engine's address: the environment's, else an Ollama that answered when the home was new, else our own's port.

        Chosen once: an Ollama that is started later has none of this home's models.
        """
        if given := os.environ.get("FORGE_ENGINE_URL") or ollama_host():
            return given.rstrip("/")
        # Asked before the lock is taken: it takes the same one.
        own = self.url("engine")
        if "FORGE_ENGINE_PORT" in os.environ:
            return own
        return self._remembered("engine.json", "url", lambda: OLLAMA if answers(OLLAMA) else own)

    def _remembered(self, name: str, key: str, make: Callable[[], str], *, mode: int = 0o644) -> str:
        """What the small file `name` says for `key`; made and kept on first use, under a lock.

        A file that cannot be read is never written over: the database was made with the password in it.
        """
        path = self.home / name
        with locked(self.home / ".lock"):
            known = read_json(path, strict=True)
            if key not in known:
                known[key] = make()
                write_json(path, known, mode=mode)
            return known[key]

    def url(self, part: str) -> str:
        """The HTTP address of `part`: FORGE_<PART>_URL, else on loopback."""
        if given := os.environ.get(f"FORGE_{part.upper()}_URL"):
            return given.rstrip("/")
        return f"http://127.0.0.1:{self.port(part)}"

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        return folder


def read_json(path: Path, *, strict: bool = False) -> dict[str, str]:
    """A small file of ours; missing reads as empty. A broken one too, or, when `strict`, raises Invalid."""
    try:
        loaded: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        if strict:
            raise Invalid(
                f"{path} cannot be read: {error}", fix="mend it or bring it back; nothing was changed"
            ) from error
        return {}
    return loaded


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel releases when its holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def ollama_host() -> str | None:
    """OLLAMA_HOST as a URL, read as Ollama reads it: port 11434 by default, an address to listen on means loopback."""
    given = os.environ.get("OLLAMA_HOST")
    if not given:
        return None
    parts = urlsplit(given if "://" in given else f"http://{given}")
    host = "127.0.0.1" if parts.hostname in (None, "0.0.0.0", "::") else parts.hostname  # noqa: S104
    default = {"https": 443}.get(parts.scheme, 80) if "://" in given else 11434
    return f"{parts.scheme}://{host}:{parts.port or default}"


def answers(ollama: str) -> bool:
    """Whether an Ollama is there."""
    try:
        return httpx2.get(f"{ollama}/api/version", timeout=2.0, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def write_json(path: Path, content: object, *, mode: int = 0o644) -> None:
    """Replace `path` atomically."""
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
