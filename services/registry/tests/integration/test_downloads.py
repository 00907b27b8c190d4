"""Gigabytes over a bad line: a download that is killed in the middle goes on where it was, in another process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

from forge_common.artifacts import ArtifactClient

pytestmark = pytest.mark.integration

SIZE, STALL_AT = 24 << 20, 9 << 20
PROGRAM = """
import sys
from pathlib import Path
from forge_common.artifacts import ArtifactClient
url, key, cache, bundle = sys.argv[1:]
ArtifactClient(url, key, Path(cache) / "artifacts").fetch_bundle(bundle, Path(cache) / "base")
"""


class Line:
    """A TCP line to the registry that counts what comes back, and stops passing it on after `stall_at` bytes."""

    def __init__(self, url: str, stall_at: int | None) -> None:
        parts = urlsplit(url)
        self._target, self._stall_at = (parts.hostname, parts.port), stall_at
        self.passed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if counted:
                    while self._stall_at is not None and self.passed >= self._stall_at:
                        time.sleep(0.05)
                    self.passed += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def bundle(registry, tmp_path):
    """A base of two files, one of them large and of no repeating bytes."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    blocks = (hashlib.sha256(str(n).encode()).digest() for n in range(SIZE // 32))
    (folder / "model.safetensors").write_bytes(b"".join(blocks))
    client = ArtifactClient(registry.base_url, registry.key, tmp_path / "uploader")
    return folder, client.push_bundle(folder, "base").sha256


def partial_bytes(cache) -> int:
    return sum(path.stat().st_size for path in (cache / "artifacts").glob(".partial-*") if path.suffix == "")


def test_a_base_whose_download_was_killed_in_the_middle_goes_on_and_is_whole(
    registry, bundle, tmp_path, eventually
):
    source, sha256 = bundle
    cache = tmp_path / "box"
    bad = Line(registry.base_url, stall_at=STALL_AT)
    command = [sys.executable, "-c", PROGRAM, bad.url, registry.key, str(cache), sha256]
    process = subprocess.Popen(command)
    # What is on the disk: the client writes a megabyte at a time.
    eventually(lambda: partial_bytes(cache) >= STALL_AT - (2 << 20))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    bad.close()
    kept = partial_bytes(cache)
    good = Line(registry.base_url, stall_at=None)

    artifacts = ArtifactClient(good.url, registry.key, cache / "artifacts")
    folder = artifacts.fetch_bundle(sha256, cache / "base")

    good.close()
    assert (folder / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert kept > SIZE // 4
    assert good.passed < SIZE - kept + (1 << 20)
