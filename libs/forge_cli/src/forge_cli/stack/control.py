"""Bringing the stack up and down from the command line's process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from forge_cli import clients
from forge_cli.installation import Installation
from forge_cli.stack.state import StackState, read_state, stop_orphans, supervisor_is_alive, write_state
from forge_common.errors import ForgeError

START_TIMEOUT_S = 180.0
# A part that ended at once this many times in a row will not start by itself.
HOPELESS = 4


class StackDidNotStart(ForgeError):
    """A part failed again and again, or time was up."""


def bring_up(
    here: Installation, watch: Callable[[StackState], None], timeout_s: float = START_TIMEOUT_S
) -> bool:
    """Start what is missing and wait until all of it answers. Returns False when all of it ran already.

    `watch` sees the state now and then, to show it. Raises StackDidNotStart, naming the part and its last words.
    """
    if supervisor_is_alive(here) and read_state(here).is_ready:
        return False
    if not supervisor_is_alive(here):
        _spawn_supervisor(here)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        state = read_state(here)
        watch(state)
        if (
            state.supervisor
            and state.is_ready
            and supervisor_is_alive(here)
            and _workers_said_hello(here, state)
        ):
            return True
        if any(process.failures >= HOPELESS for process in state.processes.values()):
            break
        time.sleep(0.1)
    raise _why_not(here)


def bring_down(here: Installation, timeout_s: float = 120.0) -> bool:
    """Stop everything that this installation started. Returns False when nothing ran."""
    if not supervisor_is_alive(here):
        left = stop_orphans(here)
        write_state(here, StackState())
        return bool(left)
    pid = read_state(here).supervisor
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while supervisor_is_alive(here):
        if time.monotonic() > deadline:
            raise ForgeError(
                f"the supervisor (pid {pid}) does not stop", fix=f"see {here.logs / 'supervisor.log'}"
            )
        time.sleep(0.05)
    return True


def _spawn_supervisor(here: Installation) -> None:
    write_state(here, read_state(here).model_copy(update={"supervisor": None}))
    with (here.logs / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "forge_cli.stack.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=here.home,
            env={**os.environ, "FORGE_HOME": str(here.home)},
            start_new_session=True,
        )


def _workers_said_hello(here: Installation, state: StackState) -> bool:
    try:
        alive = {worker.service for worker in clients.registry(here).workers() if worker.is_alive}
    except ForgeError:
        return False
    return alive >= set(state.workers)


def _why_not(here: Installation) -> StackDidNotStart:
    state = read_state(here)
    hopeless = [name for name, process in state.processes.items() if process.failures >= HOPELESS]
    for name in [*hopeless, *state.missing]:
        process = state.processes.get(name)
        reason = process.error if process and process.error else "still waiting for what it depends on"
        where = process.log if process else str(here.logs)
        return StackDidNotStart(f"{name} does not start: {reason}", fix=f"see {where}; then `forge up` again")
    if state.supervisor:
        return StackDidNotStart(
            "a worker did not say hello to the registry", fix=f"see the logs in {here.logs}"
        )
    return StackDidNotStart("the supervisor did not start", fix=f"see {here.logs / 'supervisor.log'}")
