"""Fetching a base by name and revision, by the hub's own client, from a server that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from forge_common.testing.tiny_model import write_tiny_model

pytestmark = pytest.mark.integration

COMMIT = "c" * 40
SIZE, PIECE = 48 << 20, 1 << 16
PROGRAM = """
import sys
from pathlib import Path
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.stages import BaseModelRef
from forge_common.errors import ForgeError
from forge_common.weights.base_model import resolve_base
(name, _, revision), home = sys.argv[1].partition("@"), Path(sys.argv[2])
ref = BaseModelRef(name=name, revision=revision or "main")
try:
    print(resolve_base(ref, ArtifactClient("http://127.0.0.1:9", None, home), home))
except ForgeError as error:
    print(error.code, error)
"""


# Cancels itself when so many bytes are there.
CANCELLED = """
import sys, threading, time
from pathlib import Path
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.stages import BaseModelRef
from forge_common.errors import Cancelled
from forge_common.queue.stage import Beat
from forge_common.weights.base_model import base_config, resolve_base
home, enough, beat = Path(sys.argv[1]), int(sys.argv[2]), Beat()
artifacts = ArtifactClient("http://127.0.0.1:9", None, home).checking(beat.check)
def cancel():
    while sum(path.stat().st_size for path in home.rglob("*.forge-partial")) < enough:
        time.sleep(0.02)
    time.sleep(1)
    global asked_at
    asked_at = time.monotonic()
    beat.cancel()
threading.Thread(target=cancel, daemon=True).start()
try:
    base_config(BaseModelRef(name="org/big"), artifacts)
    resolve_base(BaseModelRef(name="org/big"), artifacts, home)
except Cancelled:
    print("cancelled after", time.monotonic() - asked_at)
"""


@pytest.fixture
def hub(tmp_path):
    """A hub with one model, `org/tiny`, that also holds a pickle and code; `org/gated` asks for a licence."""
    folder = write_tiny_model(tmp_path / "hub")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling.py").write_text("raise SystemExit")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = urlsplit(self.path).path
            asked.append(path)
            if path.startswith("/api/models/org/gated"):
                self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
            elif not path.startswith(("/api/models/org/tiny", "/org/tiny/resolve/")):
                self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif "/tree/" in path:
                entries = [
                    {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": etag(p)}
                    for p in folder.iterdir()
                ]
                self.reply(200, json.dumps(entries).encode())
            elif path.startswith("/api/"):
                body = {"id": "org/tiny", "sha": COMMIT, "siblings": [], "modelId": "org/tiny"}
                self.reply(200, json.dumps(body).encode())
            else:
                file = folder / path.rpartition("/")[2]
                self.reply(200, file.read_bytes(), {"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT})

        do_HEAD = do_GET  # noqa: N815  named by the base class

        def reply(self, status, body, headers=None):
            self.send_response(status)
            for key, value in {"content-length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked, folder
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["stops", "trickles"])
def slow_hub(request):  # noqa: C901  a small server in one place
    """A hub whose one large file stops or trickles from its middle on, the first time; it takes ranges, and notes which."""
    data = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(SIZE // 32))
    ranges, names = [], {"config.json": b"{}", "model.safetensors": data}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = urlsplit(self.path).path
            if "/tree/" in path:
                entries = [
                    {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                    for name, body in names.items()
                ]
                self.reply(200, json.dumps(entries).encode(), {})
            elif path.startswith("/api/"):
                body = {"id": "org/big", "sha": COMMIT, "siblings": [], "modelId": "org/big"}
                self.reply(200, json.dumps(body).encode(), {})
            else:
                self.file(names[path.rpartition("/")[2]])

        do_HEAD = do_GET  # noqa: N815  named by the base class

        def file(self, body):
            start = int((self.headers.get("range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            headers = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            if start:
                headers["content-range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            is_large = len(body) == SIZE and self.command == "GET"
            if is_large:
                ranges.append(start)
            self.reply(206 if start else 200, body[start:], headers, stall=is_large and len(ranges) == 1)

        def reply(self, status, body, headers, *, stall=False):
            self.send_response(status)
            for key, value in {"content-length": str(len(body)), "accept-ranges": "bytes", **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "GET":
                return
            if stall:
                self.wfile.write(body[: SIZE // 2])
                self.wfile.flush()
                for start in range(SIZE // 2, SIZE, PIECE):
                    time.sleep(60 if request.param == "stops" else 0.5)
                    self.wfile.write(body[start : start + PIECE])
                return
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", ranges, data
    server.shutdown()


def test_a_base_whose_download_was_killed_in_the_middle_goes_on(slow_hub, tmp_path):
    url, ranges, data = slow_hub
    home = tmp_path / "home"
    environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "org/big", str(home)], env=environment)
    deadline = time.monotonic() + 180

    def partial() -> int:
        return sum(path.stat().st_size for path in home.rglob("*.forge-partial"))

    while partial() < SIZE // 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = partial()

    folder = tmp_path.joinpath(resolve("org/big", url, home))

    assert (folder / "model.safetensors").read_bytes() == data
    assert ranges == [0, kept]


def test_a_download_from_the_hub_is_cancelled_within_seconds_and_goes_on_later(slow_hub, tmp_path):
    url, ranges, data = slow_hub
    home = tmp_path / "home"
    environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", CANCELLED, str(home), str(SIZE // 4)]
    reply = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kept = sum(path.stat().st_size for path in home.rglob("*.forge-partial"))

    folder = tmp_path.joinpath(resolve("org/big", url, home))

    said, _, seconds = reply.stdout.strip().splitlines()[-1].rpartition(" ")
    assert said == "cancelled after"
    assert float(seconds) < 6.0  # a hub that is silent is waited for 10 s
    assert SIZE // 4 <= kept < SIZE
    assert (folder / "model.safetensors").read_bytes() == data
    assert ranges == [0, kept]


def test_waiting_for_a_hub_that_says_nothing_is_cancelled_within_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-c", CANCELLED, str(tmp_path), "0"]
        reply = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    said, _, seconds = reply.stdout.strip().splitlines()[-1].rpartition(" ")
    assert said == "cancelled after"
    assert float(seconds) < 6.0  # a hub that is silent is waited for 10 s


def etag(path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


FULL = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=1 << 30)"


def resolve(name, url, home, *, before="") -> str:
    environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    reply = subprocess.run(
        [sys.executable, "-c", before + PROGRAM, name, str(home)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    # The log stands before it.
    return reply.stdout.strip().splitlines()[-1]


def test_a_base_is_fetched_by_name_without_pickles_or_code(hub, tmp_path):
    url, asked, source = hub

    folder = tmp_path.joinpath(resolve("org/tiny", url, tmp_path / "home"))

    wanted = {path.name for path in source.iterdir()} - {"pytorch_model.bin", "modeling.py"}
    assert {path.name for path in folder.iterdir()} == wanted
    assert (folder / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert not any("pytorch_model" in path for path in asked)


def test_the_revision_that_was_named_is_the_one_that_is_fetched(hub, tmp_path):
    url, asked, _ = hub

    resolve("org/tiny@v2", url, tmp_path / "home")

    named = [path for path in asked if "/revision/" in path or "/resolve/" in path]
    assert any(path.endswith("/revision/v2") for path in named)
    assert not any("/revision/main" in path or "/resolve/main/" in path for path in named)


def test_a_disk_that_is_too_small_is_noticed_before_the_hub_sends_weights(hub, tmp_path):
    url, _, source = hub
    weights = (source / "model.safetensors").stat().st_size

    said = resolve("org/tiny", url, tmp_path / "home", before=FULL)

    came = [path.stat().st_size for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert said.startswith("disk_full org/tiny needs")
    assert sum(came) < weights


def test_a_fetched_base_serves_when_the_hub_is_away(hub, tmp_path):
    url, _, _ = hub
    first = resolve("org/tiny", url, tmp_path / "home")

    assert resolve("org/tiny", "http://127.0.0.1:9", tmp_path / "home") == first


@pytest.mark.parametrize(
    ("name", "code", "advice"),
    [
        ("org/missing", "base_model_unavailable", "check base_model"),
        ("org/gated", "base_model_unavailable", "HF_TOKEN"),
        ("not a name", "base_model_unavailable", "check base_model"),
    ],
)
def test_a_model_that_the_hub_does_not_give_says_what_to_do(hub, tmp_path, name, code, advice):
    reply = resolve(name, hub[0], tmp_path / "home")

    assert reply.startswith(code)
    assert advice in reply


def test_a_hub_that_is_away_says_what_to_do(tmp_path):
    reply = resolve("org/tiny", "http://127.0.0.1:9", tmp_path / "home")

    assert reply.startswith("hub_unreachable")
