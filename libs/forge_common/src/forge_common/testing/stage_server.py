"""One stage and the artifacts of a registry over real HTTP, on a port that it can leave and come back to."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path

from forge_common.artifacts import ArtifactStore
from forge_common.contracts.stages import Heartbeat, HeartbeatReply, StageClaim, StageDelivery
from forge_common.contracts.workers import WorkerWelcome
from forge_common.testing.artifact_server import ArtifactHandler


class StageServer:
    """Hands out `claim` and the broker's URL, and keeps what was said to it.

    Starts away: `come()` opens the port, `leave()` closes it.
    """

    def __init__(self, root: Path) -> None:
        self.claim: StageClaim | None = None
        self.claimed = 0
        self.beats: list[Heartbeat] = []
        self.deliveries: list[StageDelivery] = []
        self.cancel = False
        self.broker_url = ""
        kind = type("Handler", (_Handler,), {"store": ArtifactStore(root), "stage": self})
        self._handler: type[_Handler] = kind
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def leave(self) -> None:
        """Connections that are kept open end too: nothing answers on them any more."""
        assert self._server is not None
        server, self._server = self._server, None
        server.shutdown()
        server.server_close()

    @property
    def is_there(self) -> bool:
        return self._server is not None


class _Handler(ArtifactHandler):
    stage: StageServer

    def do_POST(self) -> None:  # noqa: N802  http.server calls it so
        body = self.rfile.read(int(self.headers["content-length"]))
        match self.path.rpartition("/")[2]:
            case "workers":
                self._reply(WorkerWelcome(broker_url=self.stage.broker_url, beat_s=1.0).model_dump_json())
            case "claim":
                assert self.stage.claim is not None
                self.stage.claimed += 1
                self._reply(self.stage.claim.model_dump_json())
            case "heartbeat":
                self.stage.beats.append(Heartbeat.model_validate_json(body))
                self._reply(HeartbeatReply(lease_s=1.0, cancel=self.stage.cancel).model_dump_json())
            case "result":
                self.stage.deliveries.append(StageDelivery.model_validate_json(body))
                self._reply("{}")

    def _reply(self, body: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())
