"""What runs, as the supervisor last wrote it, and whether a supervisor is alive (it holds a lock for as long as it lives)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator

import psutil
from pydantic import BaseModel, ValidationError

from forge_cli.installation import Installation, write_json

GRACE_S = 15.0


class ProcessState(BaseModel):
    """`created` is the process's start time: a pid alone may be somebody else's by now."""

    pid: int
    created: float
    ready: bool
    restarts: int = 0
    # Starts in a row that ended at once.
    failures: int = 0
    address: str = ""
    log: str = ""
    stop_signal: str = "SIGTERM"
    error: str | None = None


class StackState(BaseModel):
    supervisor: int | None = None
    processes: dict[str, ProcessState] = {}
    expected: list[str] = []
    # The services whose workers shall have said hello to the registry.
    workers: list[str] = []
    external: dict[str, str] = {}

    @property
    def is_ready(self) -> bool:
        return bool(self.expected) and not self.missing

    @property
    def missing(self) -> list[str]:
        """Parts that do not answer yet, in the order they start."""
        return [
            name for name in self.expected if name not in self.processes or not self.processes[name].ready
        ]


def read_state(here: Installation) -> StackState:
    try:
        return StackState.model_validate_json((here.run / "stack.json").read_bytes())
    except (OSError, ValidationError):
        return StackState()


def write_state(here: Installation, state: StackState) -> None:
    write_json(here.run / "stack.json", state.model_dump())


@contextlib.contextmanager
def supervisor_lock(here: Installation) -> Iterator[bool]:
    """Yields whether we hold the lock. The kernel releases it when its holder dies, however it dies.

    Patient for two seconds: somebody may be looking whether a supervisor is alive, and share the lock for that instant.
    """
    with _lock_file(here) as descriptor:
        deadline = time.monotonic() + 2.0
        while not (ours := _take(descriptor, fcntl.LOCK_EX)) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield ours


def supervisor_is_alive(here: Installation) -> bool:
    with _lock_file(here) as descriptor:
        return not _take(descriptor, fcntl.LOCK_SH)


@contextlib.contextmanager
def _lock_file(here: Installation) -> Iterator[int]:
    descriptor = os.open(here.run / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def running(process: ProcessState) -> psutil.Process | None:
    """The process, if it is still the one that was recorded."""
    try:
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.created) < 1.0 and found.status() != psutil.STATUS_ZOMBIE:
            return found
    except psutil.NoSuchProcess:
        pass
    return None


def stop_process(process: ProcessState, grace_s: float = GRACE_S) -> None:
    """End a recorded process and its session: politely, then not."""
    found = running(process)
    if found is None:
        return
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        found.send_signal(signal.Signals[process.stop_signal])
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and running(process):
            time.sleep(0.05)
        if running(process):
            os.killpg(process.pid, signal.SIGKILL)


def stop_orphans(here: Installation) -> list[str]:
    """Stop what a killed supervisor left behind; last started, first stopped. Returns the names."""
    processes = read_state(here).processes
    left = [name for name, process in processes.items() if running(process)]
    for name in reversed(left):
        stop_process(processes[name])
    return left
