"""Heavy work in a fresh process: cancel is terminate, memory comes back whole, a crash is a result.

Never a fork: CUDA cannot be initialised again after one, and macOS aborts. The parent writes the request as one JSON
line on the child's stdin and keeps the pipe open; the child ends when the pipe does, so it never outlives its parent.
The child answers with JSON lines on a pipe of its own: whatever libraries print goes to the log, not into the protocol.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from pydantic import JsonValue

from forge_common.contracts.stages import Progress
from forge_common.errors import ForgeError
from forge_common.logging import get_logger
from forge_common.queue.stage import Beat

log = get_logger()

GRACE_S = 10.0
REPLY_FD = "FORGE_CHILD_REPLY_FD"


class ChildDied(ForgeError):
    """The process ended without a result: killed, out of memory, or crashed below Python."""

    retryable = True
    signal: signal.Signals | None = None
    """What killed it, if anything did."""


class ChildFailed(ForgeError):
    """The child said why it could not do the work; carries its code, message and fix."""


def run_child(
    module: str,
    request: Mapping[str, JsonValue],
    *,
    beat: Beat,
    cwd: Path,
    env: Mapping[str, str] | None = None,
) -> dict[str, JsonValue]:
    """Run `python -m module` on `request` and return its result.

    Relays its progress to `beat`. Raises Cancelled when the run was called off, ChildFailed, ChildDied.
    """
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=cwd,
        env={**os.environ, **(env or {}), REPLY_FD: str(writer)},
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        pass_fds=(writer,),
        start_new_session=True,
        text=True,
    )
    os.close(writer)
    done = threading.Event()
    killer = threading.Thread(target=_end_when_cancelled, args=(process, beat, done), daemon=True)
    killer.start()
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        with os.fdopen(reader, encoding="utf-8") as replies:
            ending = _relay(replies, beat)
        process.wait()
    finally:
        done.set()
        _terminate(process)
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
    beat.check()
    return _outcome(ending, process.returncode, module)


def _relay(replies: IO[str], beat: Beat) -> dict[str, Any] | None:
    """Pass progress on; return the child's last word, if it had one."""
    ending: dict[str, Any] | None = None
    for line in replies:
        reply = json.loads(line)
        if reply["event"] == "progress":
            beat.progress(Progress.model_validate(reply["progress"]))
        else:
            ending = reply
    return ending


def _outcome(ending: dict[str, Any] | None, status: int, module: str) -> dict[str, JsonValue]:
    if ending is None:
        killer = signal.Signals(-status) if status < 0 else None
        how = f"signal {killer.name}" if killer else f"status {status}"
        death = ChildDied(
            f"{module} ended with {how} and no result", fix="see the worker's log; is memory short?"
        )
        death.signal = killer
        raise death
    if ending["event"] == "error":
        error = ChildFailed(ending["message"], code=ending["code"], fix=ending.get("fix"))
        error.retryable = bool(ending.get("retryable"))
        raise error
    result: dict[str, JsonValue] = ending["result"]
    return result


def _end_when_cancelled(process: subprocess.Popen[str], beat: Beat, done: threading.Event) -> None:
    while not done.wait(0.2):
        if beat.cancelled.is_set():
            _terminate(process)
            return


def _terminate(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Report:
    """The child's side of the pipe."""

    def __init__(self, replies: IO[str]) -> None:
        self._replies = replies

    def progress(self, progress: Progress) -> None:
        self.send(event="progress", progress=progress.model_dump(mode="json"))

    def send(self, **reply: Any) -> None:
        self._replies.write(json.dumps(reply) + "\n")
        self._replies.flush()


def child_main(work: Callable[[dict[str, Any], Report], Mapping[str, JsonValue]]) -> NoReturn:
    """The child's `main`: read the request, do the work, send the result or the error, exit."""
    line = sys.stdin.readline()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with _replies() as replies:
        report = Report(replies)
        try:
            report.send(event="result", result=dict(work(json.loads(line), report)))
        except ForgeError as error:
            report.send(
                event="error",
                code=error.code,
                message=error.message,
                fix=error.fix,
                retryable=error.retryable,
            )
            sys.exit(1)
    sys.exit(0)


@contextlib.contextmanager
def _replies() -> Iterator[IO[str]]:
    # Another child of ours must not hold the pipe open.
    fd = int(os.environ.pop(REPLY_FD))
    os.set_inheritable(fd, False)
    with os.fdopen(fd, "w", encoding="utf-8") as replies:
        yield replies


def _die_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
