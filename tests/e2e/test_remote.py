"""Another machine trains for this one: over TLS, by a key and a fingerprint, with nothing shared. A network of its own where we may make one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from forge_common.contracts.runs import RunState
from forge_common.nano.teacher import answer
from forge_common.nano.traffic import coding_requests

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0


@dataclass
class Box:
    """Another machine. `host` is this one's address as seen from there; `enter` starts a command there."""

    host: str
    enter: tuple[str, ...]
    home: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.enter, *command], capture_output=True, text=True, check=False, timeout=60
        )

    def reaches(self, port: int) -> bool:
        program = f"import socket; socket.create_connection(('{self.host}', {port}), 3)"
        return self.run(sys.executable, "-c", program).returncode == 0


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    home = tmp_path / "box-home"
    home.mkdir()
    with contextlib.ExitStack() as stack:
        try:
            host, name = network(stack)
        except (OSError, subprocess.CalledProcessError):
            # Without the right to make networks the box is this machine, by loopback.
            yield Box("127.0.0.1", (), home)
            return
        yield Box(host, ("ip", "netns", "exec", name), home)


def network(stack: contextlib.ExitStack) -> tuple[str, str]:
    """A namespace with one cable to us; our address on it, and its name."""
    tag, net = secrets.token_hex(3), secrets.randbelow(250)
    name, ours, theirs = f"forge-box-{tag}", f"fh{tag}", f"fb{tag}"
    ip("netns", "add", name)
    stack.callback(ip, "netns", "del", name)
    ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
    ip("addr", "add", f"10.217.{net}.1/24", "dev", ours)
    ip("link", "set", ours, "up")
    for command in (
        ("addr", "add", f"10.217.{net}.2/24", "dev", theirs),
        ("link", "set", theirs, "up"),
        ("link", "set", "lo", "up"),
    ):
        ip("-n", name, *command)
    return f"10.217.{net}.1", name


@pytest.fixture
def up(forge, box) -> Iterator[None]:
    """This machine's Forge, open to others over TLS, with no trainer of its own. The box's cable is plugged in before."""
    forge.env["FORGE_TRAINERS"] = "none"
    forge.json("up", "--tls")
    forge.json("init", "--domain", "nano")
    return


@pytest.fixture
def joined(forge, box, up) -> Iterator[subprocess.Popen[bytes]]:
    """The line that `forge keys add` prints, typed on the box."""
    made = forge.json("keys", "add", "box")
    words = made["join"].split()
    key, ca = words[0].removeprefix("FORGE_KEY="), words[words.index("--ca") + 1]
    url = f"https://{box.host}:{forge.env['FORGE_REGISTRY_TLS_PORT']}"
    command = [*box.enter, str(ROOT / "deploy/worker.sh"), "cpu", "--registry", url, "--ca", ca]
    env = {"PATH": os.environ["PATH"], "HOME": str(box.home), "FORGE_KEY": key, "OMP_NUM_THREADS": "1"}
    env |= {"FORGE_VENV": str(Path(sys.prefix)), "PYTHON": sys.executable}
    with (box.home / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=box.home)
    yield process
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def trainer(forge):
    found = [worker for worker in forge.json("status")["workers"] if worker["queues"] == ["train.cpu"]]
    return found[0] if found else None


def wait_for(what, box, timeout_s=PATIENCE_S):
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, (box.home / "worker.log").read_text()[-3000:]
        time.sleep(0.3)
    return found


def own(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The worker itself, below `ip netns exec`, which becomes it."""
    return psutil.Process(process.pid)


def peers(process: psutil.Process) -> set[int]:
    """The ports that anybody in the process's network is connected to elsewhere."""
    lines = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    loopback, established = "0100007F", "01"
    return {
        int(there.partition(":")[2], 16)
        for _, _, there, state, *_ in fields
        if state == established and not there.startswith(loopback)
    }


def teach(forge, tmp_path, count=90):
    rows = [
        {"prompt": prompt, "response": answer([{"role": "user", "content": prompt}])}
        for prompt in coding_requests(count)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    forge.json("data", "import", str(file), "--domain", "nano")


def test_a_box_with_a_key_and_a_fingerprint_trains_what_this_machine_captured(forge, box, joined, tmp_path):
    wait_for(lambda: trainer(forge), box)
    worker = own(joined)
    is_elsewhere = bool(box.enter)

    # No database, and nothing but the door.
    assert not {name for name in worker.environ() if "DATABASE" in name or "BROKER" in name}
    if is_elsewhere:
        closed = ("POSTGRES", "REGISTRY", "REDIS", "COLLECTOR", "GATEWAY", "ENGINE")
        assert [part for part in closed if box.reaches(int(forge.env[f"FORGE_{part}_PORT"]))] == []
    assert box.reaches(int(forge.env["FORGE_REGISTRY_TLS_PORT"]))
    if is_elsewhere:
        doors = {int(forge.env[f"FORGE_{part}_TLS_PORT"]) for part in ("REGISTRY", "REDIS")}
        seen: set[int] = set()

        def knocks() -> bool:
            seen.update(peers(worker))  # connections to the registry come and go
            return seen >= doors

        wait_for(knocks, box, timeout_s=60)
        assert seen == doors

    teach(forge, tmp_path)
    started = forge.json("train", "--domain", "nano", "--hardware", "cpu", "--detach")
    job = wait_for(lambda: (trainer(forge) or {}).get("job"), box)
    ended = json.loads(
        forge.run("runs", "attach", started["id"], "--json", check=False, timeout_s=900).stdout
    )

    assert job["run_id"] == started["id"]
    assert job["stage"] in ("train", "export")
    assert ended["state"] in (RunState.PROMOTED, RunState.KEPT), (box.home / "worker.log").read_text()[-3000:]
    after = trainer(forge)
    assert after["job"] is None
    assert after["tokens_per_s"] > 0
    assert 0 < after["memory_used_bytes"] < after["memory_bytes"]
    shown = forge.run("status").stdout
    assert "tok/s" in shown
    assert "waiting" in shown
    # What the box has, it has by hash: nothing of the conversations is left there.
    kept = [path.name for path in (box.home / ".forge").rglob("*.jsonl")]
    assert kept == []


def test_a_wrong_key_a_wrong_fingerprint_and_no_key_are_each_said_in_a_sentence(forge, box, up):
    url = f"https://{box.host}:{forge.env['FORGE_REGISTRY_TLS_PORT']}"
    right = forge.json("keys", "add", "box")["join"].split()[-1]
    command = [sys.executable, "-m", "forge_cli", "worker", "cpu", "--registry", url]

    def join(ca: str, key: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(box.home)} | ({"FORGE_KEY": key} if key else {})
        ended = subprocess.run(
            [*box.enter, *command, "--ca", ca],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode != 0
        assert "Traceback" not in ended.stderr
        return " ".join((ended.stdout + ended.stderr).split())

    assert "not known here, or was revoked" in join(right, "forge_guessed")
    assert "shows another CA" in join("sha256:" + "0" * 64, "forge_guessed")
    assert "lets nobody in without a key" in join(right, "")


def test_a_box_without_a_driver_is_told_before_anything_is_downloaded(tmp_path):
    clone = tmp_path / "clone"
    (clone / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/worker.sh", clone / "deploy")
    (clone / "deploy/setup.sh").write_text(": > set-up\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "df", "awk", "head", "sed", "echo"):
        (tools / name).symlink_to(shutil.which(name))

    def join() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(clone / "deploy/worker.sh"), "cuda", "--prepare"],
            env={"PATH": str(tools)},
            capture_output=True,
            text=True,
            check=False,
        )

    without = join()
    (tools / "nvidia-smi").write_text(
        "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n"
    )
    (tools / "nvidia-smi").chmod(0o755)
    broken = join()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA, Inc. GTX 1080, 470.256.02, 8192 MiB'\n")
    old = join()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA RTX 4070, 580.95.05, 12282 MiB'\n")
    working = join()

    assert (without.returncode, broken.returncode, old.returncode) == (1, 1, 1)
    assert "the driver is 470; torch needs 525" in old.stderr
    assert "install NVIDIA's driver" in without.stderr
    assert "version mismatch" in broken.stderr
    assert working.returncode == 0, working.stderr
    assert "card: NVIDIA RTX 4070" in working.stdout
    assert (clone / "set-up").exists()
