"""Clients of this installation's services, at the addresses and with the key that it knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2

from forge_cli.installation import Installation
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import Contract
from forge_common.contracts.compare import TEACHER_KEY_HEADER, CompareEvent, CompareRequest, Side
from forge_common.contracts.imports import Batch, ImportReceipt, ImportStart, ImportState, Preview
from forge_common.http.client import make_client, raise_for_problem, unreachable
from forge_common.http.registry import RegistryClient
from forge_common.http.sse import data_of


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
C = TypeVar("C", bound=Contract)


class CollectorClient:
    """The collector's own API, `/forge/v1`."""

    def __init__(self, here: Installation | None = None) -> None:
        here = here or Installation.find()
        self._url = here.url("collector")
        self._http = make_client(self._url, key=here.key, timeout_s=120.0)

    def stats(self, asked: Document | None = None) -> Document:
        return self._object("GET", "/forge/v1/stats", params=asked)

    def health(self) -> Document:
        return self._object("GET", "/forge/v1/health")

    def exchanges(self, asked: Document) -> Document:
        return self._object("GET", "/forge/v1/exchanges", params=asked)

    def exchange(self, exchange_id: str) -> Document:
        return self._object("GET", f"/forge/v1/exchanges/{quote(exchange_id, safe='')}")

    def give_feedback(self, said: Document) -> Document:
        return self._object("POST", "/forge/v1/feedback", json=said)

    def policy(self) -> Document:
        return self._object("GET", "/forge/v1/policy")

    def put_rule(self, rule: Document, *, dry_run: bool) -> Document:
        return self._object("PUT", "/forge/v1/policy", json=rule, params={"dry_run": dry_run})

    def remove_rule(self, pattern: str, *, dry_run: bool) -> Document:
        return self._object("DELETE", "/forge/v1/policy", params={"pattern": pattern, "dry_run": dry_run})

    def model_rules(self) -> Document:
        return self._object("GET", "/forge/v1/model-rules")

    def put_model_rule(self, rule: Document) -> Document:
        return self._object("PUT", "/forge/v1/model-rules", json=rule)

    def remove_model_rule(self, pattern: str) -> Document:
        return self._object("DELETE", "/forge/v1/model-rules", params={"pattern": pattern})

    def drain(self) -> bool:
        """Wait until what was captured so far is in Postgres; False when it takes too long."""
        return bool(self._object("POST", "/forge/v1/drain")["drained"])

    def erase(self, selection: Document) -> Document:
        return self._object("POST", "/forge/v1/erase", json=selection)

    def build(self, domain: str) -> Document:
        return self._object("POST", "/forge/v1/datasets", json={"domain": domain})

    def begin_import(self, import_id: str, start: ImportStart) -> ImportState:
        """A new import, or how far an earlier one of that id came."""
        return self._posted(f"/forge/v1/imports/{import_id}", start, ImportState)

    def import_batch(self, import_id: str, batch: Batch) -> ImportState:
        return self._posted(f"/forge/v1/imports/{import_id}/records", batch, ImportState)

    def finish_import(self, import_id: str) -> ImportState:
        return ImportState.model_validate(self._object("POST", f"/forge/v1/imports/{import_id}/finish"))

    def preview_import(self, preview: Preview) -> ImportReceipt:
        return self._posted("/forge/v1/import/preview", preview, ImportReceipt)

    def pairs(self, domain: str | None, limit: int) -> Document:
        asked = {"limit": limit} | ({"domain": domain} if domain else {})
        return self._object("GET", "/forge/v1/pairs", params=asked)

    def pick(self, pair: str, better: Side) -> Document:
        return self._object("POST", f"/forge/v1/pairs/{pair}/pick", json={"better": better})

    def shadow(self) -> Document:
        return self._object("GET", "/forge/v1/shadow")

    def change_shadow(self, change: Document) -> Document:
        return self._object("PATCH", "/forge/v1/shadow", json=change)

    def compare(self, request: CompareRequest, teacher_key: str | None) -> Iterator[CompareEvent]:
        """What happens on both sides, as it happens. Leaving the iterator stops both models."""
        headers = {TEACHER_KEY_HEADER: teacher_key} if teacher_key else {}
        body = request.model_dump(mode="json", exclude_none=True)
        try:
            with self._http.stream("POST", "/forge/v1/compare", json=body, headers=headers) as reply:
                raise_for_problem(reply)
                for data in data_of(reply.iter_lines()):
                    yield CompareEvent.model_validate_json(data)
        except httpx2.TransportError as error:
            raise unreachable(self._url, error) from error

    def _posted(self, path: str, payload: Contract, reply: type[C]) -> C:
        headers = {"content-type": "application/json"}
        found = self._object("POST", path, content=payload.model_dump_json(), headers=headers)
        return reply.model_validate(found)

    def _object(self, method: str, path: str, **more: Any) -> Document:
        try:
            reply = self._http.request(method, path, **more)
        except httpx2.TransportError as error:
            raise unreachable(self._url, error) from error
        raise_for_problem(reply)
        found: Document = reply.json()
        return found
