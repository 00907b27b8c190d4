"""TLS with a private CA, over real servers: the broker by rediss, the registry's clients by https, the joining by fingerprint."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import psutil
import pytest
import uvicorn
from kombu import pools
from kombu.exceptions import OperationalError

from forge_cli.stack.certificates import Certificates
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import StageId
from forge_common.contracts.tasks import EVALUATE, Doorbell
from forge_common.errors import DependencyDown
from forge_common.http.client import make_client
from forge_common.http.trust import CaUnusable, WrongCa, fingerprint, obtain_ca
from forge_common.local.process import free_port, listens, wait_until
from forge_common.local.redis import Redis
from forge_common.queue.celery import make_celery
from forge_common.queue.producer import BrokerDown, Producer
from forge_common.queue.worker import handles, make_worker
from forge_common.testing.plugin import server_folder, stopping

pytestmark = pytest.mark.integration

PASSWORD = "a-broker-password"
REMOTE = Path(__file__).parents[2] / "docs" / "remote.md"


def certificates(folder) -> Certificates:
    folder.mkdir()
    made = Certificates(folder)
    made.ensure(["localhost", "127.0.0.1"])
    return made


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("ours") / "tls")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("strangers") / "tls")


@pytest.fixture(scope="module", params=["behind the door", "TLS of its own"])
def broker(request, ours):
    """The port of a real Redis-protocol server over TLS, by either way that docs/remote.md knows."""
    with (behind_the_door if request.param == "behind the door" else with_tls_of_its_own)(ours) as port:
        yield port


@contextlib.contextmanager
def behind_the_door(ours):
    with server_folder() as folder:
        server = Redis.at(folder, port=free_port(), password=PASSWORD, log=folder / "redis.log")
        outer = free_port()
        plan = {"host": "127.0.0.1", "certificate": str(ours.server), "ports": {outer: server.port}}
        env = os.environ | {"FORGE_DOOR": json.dumps(plan)}
        with stopping(server.start()):
            door = subprocess.Popen([sys.executable, "-m", "forge_cli.stack.door"], env=env)
            with stopping(door):
                wait_until(lambda: listens(outer), door, name="door", log=folder / "door.log")
                yield outer


@contextlib.contextmanager
def with_tls_of_its_own(ours):
    """By the settings that docs/remote.md names, each of them."""
    with server_folder() as folder:
        port, binary = free_port(), Redis.at(folder, port=0, password="", log=folder / "log").binary
        said = re.search(r"takes (`tls-port 6380`.*?)\.\n", REMOTE.read_text(), re.DOTALL).group(1)
        given = {"tls-port 6380": f"tls-port {port}", "requirepass": f"requirepass {PASSWORD}"}
        given |= {f"tls-{name}-file": f"tls-{name}-file {ours.server}" for name in ("cert", "key")}
        lines = [given.get(line, line) for line in re.findall(r"`(.*?)`", said)]
        (folder / "own.conf").write_text("\n".join(["bind 127.0.0.1", *lines, ""]))
        with (folder / "own.log").open("wb") as log:
            process = subprocess.Popen([binary, folder / "own.conf"], stdout=log, stderr=log, cwd=folder)
        with stopping(process):
            while not listens(port):
                if process.poll() is not None:
                    said = (folder / "own.log").read_text()
                    if "finding TLS support" in said:
                        pytest.skip(f"{binary} is built without TLS")
                    pytest.fail(said[-500:])
                time.sleep(0.05)
            yield port


@pytest.fixture
def trusting(monkeypatch):
    # A connection that an earlier test made and trusted would be taken from kombu's pool again.
    pools.reset()
    return lambda made: monkeypatch.setenv("FORGE_CA_FILE", str(made.ca))


def url(port: int, password: str = PASSWORD, host: str = "127.0.0.1") -> str:
    return f"rediss://:{password}@{host}:{port}/0"


def test_doorbells_ring_over_rediss_and_a_worker_hears_them(broker, ours, trusting):
    trusting(ours)
    heard: queue.Queue[str] = queue.Queue()
    app = make_worker("test", url(broker), ["evaluate"])

    @handles(app, EVALUATE)
    def hear(bell: Doorbell) -> None:
        heard.put(bell.stage_id)

    worker = app.Worker(pool="solo", concurrency=1, loglevel="ERROR", quiet=True)
    thread = threading.Thread(target=worker.start, daemon=True)
    thread.start()

    Producer(url(broker, host="localhost")).ring(EVALUATE, Doorbell(stage_id=StageId("stage_1")))

    assert heard.get(timeout=60) == "stage_1"
    worker.stop()
    thread.join(10)


def test_a_broker_whose_ca_is_not_trusted_is_refused(broker, strangers, trusting, monkeypatch):
    ring = Doorbell(stage_id=StageId("stage_1"))
    trusting(strangers)
    with pytest.raises(BrokerDown, match=r"(?i)certificate"):
        Producer(url(broker)).ring(EVALUATE, ring)

    monkeypatch.delenv("FORGE_CA_FILE")
    with pytest.raises(BrokerDown, match=r"(?i)certificate"):
        Producer(url(broker)).ring(EVALUATE, ring)


def test_a_wrong_password_is_refused_over_rediss(broker, ours, trusting):
    trusting(ours)

    with pytest.raises(OperationalError, match=r"(?i)wrongpass|invalid username-password"):
        make_celery("t", url(broker, "guessed")).connection().ensure_connection(max_retries=1, timeout=5)


def test_the_brokers_port_answers_nobody_who_speaks_no_tls(broker):
    with pytest.raises(BrokerDown):
        Producer(f"redis://:{PASSWORD}@127.0.0.1:{broker}/0").ring(EVALUATE, Doorbell(stage_id=StageId("s")))


def test_a_hundred_megabytes_pass_the_door_whole_and_it_stays_small(ours, tmp_path):
    size, block = 100 << 20, os.urandom(1 << 20)
    inner, outer = socket.create_server(("127.0.0.1", 0)), free_port()

    def send() -> None:
        with contextlib.suppress(OSError):
            near, _ = inner.accept()
            for _ in range(size // len(block)):
                near.sendall(block)
            near.close()

    plan = {"host": "127.0.0.1", "certificate": str(ours.server), "ports": {outer: inner.getsockname()[1]}}
    door = subprocess.Popen(
        [sys.executable, "-m", "forge_cli.stack.door"], env=os.environ | {"FORGE_DOOR": json.dumps(plan)}
    )
    with stopping(door):
        while not listens(outer):
            time.sleep(0.05)
        threading.Thread(target=send, daemon=True).start()
        context = ssl.create_default_context(cafile=str(ours.ca))
        with (
            socket.create_connection(("127.0.0.1", outer)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as line,
        ):
            got = 0
            while data := line.recv(1 << 16):
                assert data == (block * 2)[got % len(block) :][: len(data)]
                got += len(data)
        peak = psutil.Process(door.pid).memory_info().rss

    assert got == size
    assert peak < 120 << 20


# The registry's clients


@pytest.fixture(scope="module")
def https(ours):
    """uvicorn with TLS, that shows its CA and one artifact."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()

    @app.get("/ca.pem", response_class=PlainTextResponse)
    def ca() -> str:
        return ours.ca.read_text()

    @app.get("/v1/hello")
    def hello() -> dict[str, str]:
        return {"said": "hello"}

    port = free_port()
    config = uvicorn.Config(
        app, port=port, log_config=None, ssl_certfile=str(ours.server), ssl_keyfile=str(ours.server)
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"https://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def test_the_http_client_trusts_the_ca_that_forge_ca_file_names(https, ours, trusting):
    trusting(ours)

    assert make_client(https).get("/v1/hello").json() == {"said": "hello"}


def test_the_http_client_trusts_the_ca_that_ssl_cert_file_names(https, ours, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.ca))

    assert make_client(https).get("/v1/hello").json() == {"said": "hello"}


def test_the_http_client_refuses_a_ca_that_it_was_not_told_of(https, strangers, trusting):
    for prepare in (lambda: None, lambda: trusting(strangers)):
        prepare()
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
            make_client(https).get("/v1/hello")


def test_a_refused_certificate_reads_as_such_and_not_as_a_stack_that_is_down(https, tmp_path):
    with pytest.raises(DependencyDown, match=r"(?i)certificate") as caught:
        ArtifactClient(https, None, tmp_path).fetch("0" * 64)

    assert "FORGE_CA_FILE" in str(caught.value.fix)


def test_a_ca_file_that_is_not_there_or_is_no_certificate_is_said(https, monkeypatch, tmp_path):
    monkeypatch.setenv("FORGE_CA_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(CaUnusable, match="missing"):
        make_client(https)

    (tmp_path / "text.pem").write_text("hello")
    monkeypatch.setenv("FORGE_CA_FILE", str(tmp_path / "text.pem"))
    with pytest.raises(CaUnusable, match="no certificate"):
        make_client(https)


def test_a_ca_is_fetched_by_its_fingerprint_and_then_kept(https, ours, tmp_path):
    keep = tmp_path / "ca.pem"

    found = obtain_ca(https, ours.fingerprint, keep)

    assert found.read_text() == ours.ca.read_text()
    assert obtain_ca("https://127.0.0.1:9", ours.fingerprint, keep) == keep


def test_openssls_way_of_writing_a_fingerprint_is_understood(https, ours, tmp_path):
    digest = ours.fingerprint.removeprefix("sha256:").upper()
    colons = "sha256:" + ":".join(digest[i : i + 2] for i in range(0, 64, 2))

    assert obtain_ca(https, colons, tmp_path / "ca.pem").is_file()


def test_another_ca_than_the_fingerprint_says_is_refused_and_not_kept(https, strangers, tmp_path):
    with pytest.raises(WrongCa, match="another CA"):
        obtain_ca(https, fingerprint(strangers.ca.read_text()), tmp_path / "ca.pem")

    assert not (tmp_path / "ca.pem").exists()


def test_a_registry_that_is_away_when_its_ca_is_wanted_is_said(tmp_path):
    with pytest.raises(DependencyDown, match="shows no CA"):
        obtain_ca("https://127.0.0.1:9", "sha256:" + "0" * 64, tmp_path / "ca.pem")
