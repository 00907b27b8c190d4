"""A running engine for tests: the real program, in a process of its own, on a free port, with a store of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forge_common.engine import Engine
from forge_common.local.process import free_port

START_S = 60.0


@dataclass(frozen=True)
class RunningEngine:
    url: str
    process: subprocess.Popen[bytes]
    store: Path
    log: Path

    def client(self) -> Engine:
        return Engine(self.url, timeout_s=120.0)


@contextmanager
def running_engine(folder: Path, **settings: str) -> Iterator[RunningEngine]:
    """Started and waited for; killed at the end. `settings` are FORGE_ENGINE_… variables, in lower case without it."""
    port, log = free_port(), folder / "engine.log"
    folder.mkdir(parents=True, exist_ok=True)
    given = {f"FORGE_ENGINE_{name.upper()}": value for name, value in settings.items()}
    env = os.environ | {"FORGE_ENGINE_THREADS": "1"} | given | {"FORGE_ENGINE_HOME": str(folder / "store")}
    command = [sys.executable, "-m", "forge_engine", "--port", str(port)]
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as process:
        try:
            engine = RunningEngine(f"http://127.0.0.1:{port}", process, folder / "store", log)
            _wait_for(engine)
            yield engine
        finally:
            process.kill()


def _wait_for(engine: RunningEngine) -> None:
    client, until = engine.client(), time.monotonic() + START_S
    while not client.is_up():
        if engine.process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"the engine did not start:\n{engine.log.read_text()[-2000:]}")
        time.sleep(0.1)
    client.close()
