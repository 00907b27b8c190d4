"""One installation under `$FORGE_HOME`: its secrets, ports and addresses. The environment overrides what is saved."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

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
}


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
        path = self.home / "secrets.json"
        known = read_json(path)
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            write_json(path, known, mode=0o600)
        return known[name]

    @property
    def key(self) -> str:
        """The installation's own key: FORGE_KEY, else the saved one."""
        return os.environ.get("FORGE_KEY") or self.secret("key")

    def port(self, part: str) -> int:
        """The port of `part`: FORGE_<PART>_PORT, else the saved one, else its default when free, else any free one."""
        if given := os.environ.get(f"FORGE_{part.upper()}_PORT"):
            return int(given)
        path = self.home / "ports.json"
        saved = read_json(path)
        if part not in saved:
            default = DEFAULT_PORTS[part]
            saved[part] = str(free_port() if listens(default) else default)
            write_json(path, saved)
        return int(saved[part])

    def url(self, part: str) -> str:
        """The HTTP address of `part`: FORGE_<PART>_URL, else on loopback."""
        if given := os.environ.get(f"FORGE_{part.upper()}_URL"):
            return given.rstrip("/")
        return f"http://127.0.0.1:{self.port(part)}"

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        return folder


def read_json(path: Path) -> dict[str, str]:
    """A small file of ours; missing or half-written reads as empty (writers rename, so only a foreign hand breaks it)."""
    try:
        loaded: dict[str, str] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return loaded


def write_json(path: Path, content: object, *, mode: int = 0o644) -> None:
    """Replace `path` atomically."""
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
    aside.replace(path)
