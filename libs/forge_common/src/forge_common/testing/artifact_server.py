"""The artifact part of a registry over real HTTP, for tests of services that are installed without a registry."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from forge_common.artifacts import ArtifactStore

PIECE = 1 << 16


class ArtifactHandler(BaseHTTPRequestHandler):
    store: ArtifactStore
    pause_s = 0.0

    def do_PUT(self) -> None:
        self.store.put(self._sha256(), self._body())
        self._answer(HTTPStatus.CREATED)

    def do_HEAD(self) -> None:
        self._answer(HTTPStatus.OK if self.store.has(self._sha256()) else HTTPStatus.NOT_FOUND)

    def do_GET(self) -> None:
        if self.store.has(self._sha256()):
            self._answer(HTTPStatus.OK, self.store.path(self._sha256()).read_bytes())
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def log_message(self, *_: object) -> None:
        pass

    def _sha256(self) -> str:
        return self.path.rpartition("/")[2]

    def _body(self) -> Iterator[bytes]:
        if length := self.headers.get("content-length"):
            yield self.rfile.read(int(length))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def _answer(self, status: HTTPStatus, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        for start in range(0, len(body), PIECE):
            self.wfile.write(body[start : start + PIECE])
            time.sleep(self.pause_s)


@contextlib.contextmanager
def serve_artifacts(root: Path, *, pause_s: float = 0.0) -> Iterator[str]:
    """A base URL on loopback whose `/v1/artifacts/{sha256}` is a store in `root`; `pause_s` after each piece slows it."""
    handler = type("Handler", (ArtifactHandler,), {"store": ArtifactStore(root), "pause_s": pause_s})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
