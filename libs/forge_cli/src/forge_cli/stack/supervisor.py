"""The supervisor: starts every part, restarts what dies, stops all in reverse order. Runs detached from `forge up`.

Killed with -9, it leaves its children running; the next `forge up` or `forge down` finds them by the state file.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

import psutil

from forge_cli.installation import Installation
from forge_cli.stack.parts import Part, Plan, plan
from forge_cli.stack.state import (
    ProcessState,
    StackState,
    stop_orphans,
    stop_process,
    supervisor_lock,
    write_state,
)
from forge_common.local.process import wait_until
from forge_common.logging import configure, get_logger
from forge_common.settings import CommonSettings

log = get_logger()

# A part that ran this long before it died is restarted at once; one that dies at every start ever more slowly.
STEADY_S = 30.0
START_TIMEOUT_S = 60.0
STOP_S = 5.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Supervisor:
    """Keeps the parts of one plan alive, each from a thread of its own."""

    def __init__(self, here: Installation, made: Plan) -> None:
        self._here = here
        self._parts = made.parts
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._ready = {part.name: threading.Event() for part in made.parts}
        self._state = StackState(
            supervisor=os.getpid(),
            expected=[part.name for part in made.parts],
            workers=[part.worker_of for part in made.parts if part.worker_of],
            external={part.name: part.address for part in made.external},
        )

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._save()
        threads = [threading.Thread(target=self._keep, args=(part,), daemon=True) for part in self._parts]
        for thread in threads:
            thread.start()
        self._stopping.wait()
        self._stop_all()
        for thread in threads:
            thread.join(STOP_S)
        # A part that was being started when the stop came.
        self._stop_all()
        with self._lock:
            self._state = StackState()
            self._save()
        log.info("stack.stopped")

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping.set()

    def _keep(self, part: Part) -> None:
        for name in part.after:
            if name in self._ready:
                self._wait_for(name)
        failures, restarts = 0, -1
        while not self._stopping.is_set():
            started = time.monotonic()
            restarts += 1
            self._live_once(part, restarts)
            failures = 0 if time.monotonic() - started > STEADY_S else failures + 1
            self._note_failures(part, failures)
            if failures:
                self._stopping.wait(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    def _live_once(self, part: Part, restarts: int) -> None:
        try:
            process = part.spawn()
            # Known before it is ready: whoever kills us now, the next supervisor finds it.
            self._note(part, process.pid, restarts, ready=False)
            wait_until(part.answers, process, name=part.name, log=part.log, timeout_s=START_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001  whatever it was, the part is tried again
            log.error("part.did_not_start", part=part.name, reason=str(error))  # noqa: TRY400
            self._note_failure(part, str(error))
            return
        self._note(part, process.pid, restarts, ready=True)
        log.info("part.started", part=part.name, pid=process.pid, restarts=restarts)
        status = process.wait()
        self._ready[part.name].clear()
        if not self._stopping.is_set():
            log.warning("part.died", part=part.name, status=status)
            self._note_failure(part, f"ended with status {status}")

    def _wait_for(self, name: str) -> None:
        while not self._stopping.is_set() and not self._ready[name].wait(0.2):
            pass

    def _note(self, part: Part, pid: int, restarts: int, *, ready: bool) -> None:
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        with self._lock:
            known = self._state.processes.get(part.name)
            self._state.processes[part.name] = ProcessState(
                pid=pid,
                created=created,
                ready=ready,
                restarts=restarts,
                failures=known.failures if known else 0,
                address=part.address,
                log=str(part.log),
                stop_signal=part.stop_signal,
                error=None if ready or known is None else known.error,
            )
            self._save()
        if ready:
            self._ready[part.name].set()

    def _note_failure(self, part: Part, reason: str) -> None:
        with self._lock:
            known = self._state.processes.get(part.name)
            base = known or ProcessState(
                pid=0, created=0, ready=False, log=str(part.log), address=part.address
            )
            self._state.processes[part.name] = base.model_copy(update={"ready": False, "error": reason})
            self._save()

    def _note_failures(self, part: Part, failures: int) -> None:
        with self._lock:
            if known := self._state.processes.get(part.name):
                known.failures = failures
            self._save()

    def _stop_all(self) -> None:
        log.info("stack.stopping")
        for part in reversed(self._parts):
            if process := self._state.processes.get(part.name):
                stop_process(process)

    def _save(self) -> None:
        write_state(self._here, self._state)


def main() -> None:
    here = Installation.find()
    configure("supervisor", CommonSettings(home=here.home, log_format="console"))
    with supervisor_lock(here) as ours:
        if not ours:
            log.info("supervisor.runs_already")
            sys.exit(0)
        if left := stop_orphans(here):
            log.warning("orphans.stopped", names=left)
        Supervisor(here, plan(here)).run()


if __name__ == "__main__":
    main()
