"""The typed client of the registry's REST API, for the command line, the workers, the collector and the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, TypeAdapter

from forge_common.contracts.base import ArtifactRef, RunId, Sha256, StageId
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.runs import (
    Pointers,
    PromoteRequest,
    PromotionView,
    Provenance,
    RollbackRequest,
    RunEvent,
    RunRequest,
    RunView,
    TrainedVersion,
    VersionView,
)
from forge_common.contracts.scorecard import Scorecard
from forge_common.contracts.stages import (
    ClaimRequest,
    Heartbeat,
    HeartbeatReply,
    StageClaim,
    StageDelivery,
)
from forge_common.contracts.workers import WorkerHello, WorkerView, WorkerWelcome
from forge_common.http.client import make_client, raise_for_problem, unreachable
from forge_common.http.sse import data_of

M = TypeVar("M", bound=BaseModel)

# A version that the engine lost is deployed again, from gigabytes, before it goes live.
MOVE_TIMEOUT_S = 900.0


class RegistryClient:
    """One method per endpoint. Raises DependencyDown when the registry is away, RemoteProblem when it refuses."""

    def __init__(self, base_url: str, key: str | None = None, *, timeout_s: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.key = key
        self._http = make_client(self.base_url, key=key, timeout_s=timeout_s)

    def close(self) -> None:
        self._http.close()

    # Workers

    def hello(self, hello: WorkerHello) -> WorkerWelcome:
        return self._one("POST", "/v1/workers", WorkerWelcome, hello)

    def workers(self) -> list[WorkerView]:
        return self._many("/v1/workers", WorkerView)

    def claim(self, stage: StageId, request: ClaimRequest) -> StageClaim:
        return self._one("POST", f"/v1/stages/{stage}/claim", StageClaim, request)

    def heartbeat(self, stage: StageId, beat: Heartbeat) -> HeartbeatReply:
        return self._one("POST", f"/v1/stages/{stage}/heartbeat", HeartbeatReply, beat)

    def deliver(self, stage: StageId, delivery: StageDelivery) -> None:
        self._call("POST", f"/v1/stages/{stage}/result", delivery)

    # Domains

    def domains(self) -> list[DomainDocument]:
        return self._many("/v1/domains", DomainDocument)

    def domain(self, domain: str) -> DomainDocument:
        return self._one("GET", f"/v1/domains/{domain}", DomainDocument)

    def put_domain(self, document: DomainDocument) -> DomainDocument:
        return self._one("PUT", f"/v1/domains/{document.id}", DomainDocument, document)

    def put_benchmark(self, domain: str, benchmark: ArtifactRef) -> None:
        self._call("PUT", f"/v1/domains/{domain}/benchmark", benchmark)

    def put_base(self, name: str, *, bundle: str, revision: str = "main") -> None:
        self._call("PUT", f"/v1/bases/{name}", json={"bundle": bundle, "revision": revision})

    def active_domain(self) -> str:
        return str(self._call("GET", "/v1/active-domain").json()["domain"])

    def set_active_domain(self, domain: str) -> None:
        self._call("PUT", "/v1/active-domain", json={"domain": domain})

    # Runs

    def start_run(self, request: RunRequest) -> RunView:
        return self._one("POST", "/v1/runs", RunView, request)

    def runs(self, domain: str | None = None) -> list[RunView]:
        return self._many("/v1/runs", RunView, params={"domain": domain} if domain else None)

    def run(self, run: RunId) -> RunView:
        return self._one("GET", f"/v1/runs/{run}", RunView)

    def cancel_run(self, run: RunId) -> RunView:
        return self._one("POST", f"/v1/runs/{run}/cancel", RunView)

    def retry_run(self, run: RunId) -> RunView:
        return self._one("POST", f"/v1/runs/{run}/retry", RunView)

    def events(self, run: RunId, *, after: int = 0) -> Iterator[RunEvent]:
        """The run's history from `after` on, then live; ends with the run. Raises DependencyDown when the stream breaks."""
        try:
            with self._http.stream(
                "GET", f"/v1/runs/{run}/events", params={"after": after}, timeout=None
            ) as reply:
                raise_for_problem(reply)
                for data in data_of(reply.iter_lines()):
                    yield RunEvent.model_validate_json(data)
        except httpx2.TransportError as error:
            raise unreachable(self.base_url, error) from error

    def forget_dataset(self, sha256: Sha256, *, keep: Iterable[Sha256] = ()) -> list[TrainedVersion]:
        """Remove the rows for good, but for the files to `keep`; names the versions that were trained on them."""
        reply = self._call("DELETE", f"/v1/datasets/{sha256}", params={"keep": sorted(keep)})
        return TypeAdapter(list[TrainedVersion]).validate_json(reply.content)

    # Versions

    def versions(self, domain: str) -> list[VersionView]:
        return self._many(f"/v1/domains/{domain}/versions", VersionView)

    def provenance(self, domain: str, version: int) -> Provenance:
        return self._one("GET", f"/v1/domains/{domain}/versions/{version}", Provenance)

    def promote(self, domain: str, request: PromoteRequest) -> PromotionView:
        path = f"/v1/domains/{domain}/promote"
        return self._one("POST", path, PromotionView, request, timeout=MOVE_TIMEOUT_S)

    def rollback(self, domain: str, request: RollbackRequest) -> PromotionView:
        path = f"/v1/domains/{domain}/rollback"
        return self._one("POST", path, PromotionView, request, timeout=MOVE_TIMEOUT_S)

    def promotions(self, domain: str) -> list[PromotionView]:
        return self._many(f"/v1/domains/{domain}/promotions", PromotionView)

    def scorecard(self, scorecard: str) -> Scorecard:
        return self._one("GET", f"/v1/scorecards/{scorecard}", Scorecard)

    def pointers(self, *, after: int | None = None, wait_s: float = 0) -> Pointers:
        """With `after`, waits up to `wait_s` seconds for a revision other than that one."""
        params = {"wait_s": wait_s} | ({} if after is None else {"after": after})
        return self._one("GET", "/v1/pointers", Pointers, params=params, timeout=wait_s + 10)

    # Keys

    def keys(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", "/v1/keys").json()
        return found

    def make_key(self, name: str, scope: str) -> dict[str, Any]:
        """With the key itself under `key`, which is shown this once."""
        made: dict[str, Any] = self._call("POST", "/v1/keys", json={"name": name, "scope": scope}).json()
        return made

    def revoke_key(self, key: str) -> None:
        self._call("DELETE", f"/v1/keys/{key}")

    # Plumbing

    def _call(self, method: str, path: str, body: BaseModel | None = None, **more: Any) -> httpx2.Response:
        if body is not None:
            more |= {"content": body.model_dump_json(), "headers": {"content-type": "application/json"}}
        try:
            response = self._http.request(method, path, **more)
        except httpx2.TransportError as error:
            raise unreachable(self.base_url, error) from error
        raise_for_problem(response)
        return response

    def _one(self, method: str, path: str, shape: type[M], body: BaseModel | None = None, **more: Any) -> M:
        return shape.model_validate_json(self._call(method, path, body, **more).content)

    def _many(self, path: str, shape: type[M], **more: Any) -> list[M]:
        return TypeAdapter(list[shape]).validate_json(self._call("GET", path, **more).content)  # type: ignore[valid-type]
