"""A whole Forge of the test's own: fresh home, free ports, started by `forge up` as a user would, stopped and removed afterwards."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from forge_cli.installation import DEFAULT_PORTS, Installation, read_json
from forge_cli.stack.state import StackState, read_state
from forge_common.http.registry import RegistryClient
from forge_common.local.account import service_account, state_folder
from forge_common.local.process import free_port


@dataclass
class Forge:
    """One installation, driven through the `forge` command."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def here(self) -> Installation:
        return Installation(self.home)

    def run(
        self, *arguments: str, timeout_s: float = 600, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "forge_cli", *arguments]
        ended = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and ended.returncode != 0:
            pytest.fail(
                f"forge {' '.join(arguments)} → {ended.returncode}\n{ended.stdout}\n{ended.stderr}\n{self.logs()}"
            )
        return ended

    def json(self, *arguments: str, timeout_s: float = 600):
        return json.loads(self.run(*arguments, "--json", timeout_s=timeout_s).stdout)

    def demo(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "forge_cli.demo"],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def state(self) -> StackState:
        return read_state(self.here)

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.env[f'FORGE_{part.upper()}_PORT']}"

    def registry(self) -> RegistryClient:
        """Looks the key up and never makes one: the demo starts from an empty home."""
        return RegistryClient(self.url("registry"), read_json(self.home / "secrets.json").get("key"))

    def logs(self, lines: int = 15) -> str:
        ends = []
        for log in sorted((self.home / "logs").glob("*.log")):
            ends += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(ends)


def make_forge() -> Forge:
    home = Path(tempfile.mkdtemp(prefix="forge-e2e-"))
    foreign = ("FORGE_", "OLLAMA_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= {"FORGE_HOME": str(home), "COLUMNS": "140"}
    env |= {f"FORGE_{part.upper()}_PORT": str(free_port()) for part in DEFAULT_PORTS}
    return Forge(home, env)


def remove(forge: Forge) -> None:
    with contextlib.suppress(Exception):
        forge.run("down", check=False, timeout_s=150)
    if service_account().uid is not None:
        shutil.rmtree(state_folder(forge.home, "postgres").parent, ignore_errors=True)
    shutil.rmtree(forge.home, ignore_errors=True)


@pytest.fixture
def forge() -> Iterator[Forge]:
    """An empty installation; nothing runs yet."""
    made = make_forge()
    yield made
    remove(made)


@pytest.fixture(scope="session")
def shown() -> Iterator[Forge]:
    """An installation in which the demo has run to its end."""
    made = make_forge()
    demo = made.demo()
    output, _ = demo.communicate(timeout=1500)
    if demo.returncode != 0:
        text = f"the demo ended with {demo.returncode}\n{output}\n{made.logs(40)}"
        remove(made)
        pytest.fail(text)
    (made.home / "demo.out").write_text(output)
    yield made
    remove(made)
