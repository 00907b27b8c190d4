"""Clients of this installation's services, at the addresses and with the key that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from forge_cli.installation import Installation
from forge_common.artifacts import ArtifactClient
from forge_common.http.client import make_client, raise_for_problem, unreachable
from forge_common.http.registry import RegistryClient


def registry(here: Installation | None = None) -> RegistryClient:
    here = here or Installation.find()
    return RegistryClient(here.url("registry"), here.key)


def domain(given: str | None) -> str:
    """The domain that a command is about: the given one, else the active one."""
    return given or registry().active_domain()


def artifacts(here: Installation | None = None) -> ArtifactClient:
    here = here or Installation.find()
    return ArtifactClient(here.url("registry"), here.key, here.home / "cache" / "artifacts")


Document = dict[str, Any]


class CollectorClient:
    """The collector's own API, `/forge/v1`."""

    def __init__(self, here: Installation | None = None) -> None:
        here = here or Installation.find()
        self._url = here.url("collector")
        self._http = make_client(self._url, key=here.key, timeout_s=120.0)

    def stats(self) -> Document:
        return self._object("GET", "/forge/v1/stats")

    def drain(self) -> bool:
        """Wait until what was captured so far is in Postgres; False when it takes too long."""
        return bool(self._object("POST", "/forge/v1/drain")["drained"])

    def build(self, domain: str) -> Document:
        return self._object("POST", "/forge/v1/datasets", json={"domain": domain})

    def import_file(self, path: Path, domain: str) -> Document:
        """Send a JSONL file. Lines that cannot be read are reported by number, and the others kept."""
        return self._object("POST", "/forge/v1/import", content=path.read_bytes(), params={"domain": domain})

    def _object(self, method: str, path: str, **more: Any) -> Document:
        try:
            reply = self._http.request(method, path, **more)
        except httpx2.TransportError as error:
            raise unreachable(self._url, error) from error
        raise_for_problem(reply)
        found: Document = reply.json()
        return found
