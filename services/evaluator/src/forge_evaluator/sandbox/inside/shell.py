"""Shell in a task: one script, run by bash in an empty folder, and what it left there.

This process is the first of the task's pid namespace, so nothing that the script starts can signal it.
"""

# ruff: noqa: S108 (the /tmp in here is the sandbox's own)
from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
from pathlib import Path
from typing import IO, Any

from forge_evaluator.sandbox.inside import frames, plain

_SCRIPT, _STDIN, _FOLDER = "/tmp/answer.sh", "/tmp/stdin", "/tmp/work"
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": _FOLDER,
    "TMPDIR": "/tmp",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
_STDOUT_BYTES = 1_000_000
_STDERR_BYTES = 4_000
_MAX_FILES = 256
_LOOK_S = 0.05
# Of JSON; a character may take six.
_FRAME_BYTES = 16 * plain.MAX_BYTES


def serve(judge: socket.socket) -> None:
    """Answer the one frame of a task: `{"script", "args", "stdin", "files"}`."""
    try:
        asked = frames.receive(judge, 8 * plain.MAX_BYTES)
    except (frames.Closed, OSError):
        return
    try:
        told = plain.dump({"value": _run(asked)}, _FRAME_BYTES)
    except plain.Unsendable as error:
        told = plain.dump({"unsendable": str(error)})
    frames.send(judge, told)


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    os.umask(0o022)
    _lay_out(asked)
    os.chdir(_FOLDER)
    with Path(_STDIN).open("rb") as stdin:
        Path(_STDIN).unlink()
        process = subprocess.Popen(
            ["/bin/bash", _SCRIPT, *asked["args"]],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
        )
    stdout, stderr = _Output(process.stdout, _STDOUT_BYTES), _Output(process.stderr, _STDERR_BYTES)
    status = _follow(process, [stdout, stderr])
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # whatever the script left running; only this namespace can be meant
    files, are_files_truncated = _files()
    return {
        "exit_status": status if status >= 0 else 128 - status,
        "stdout": stdout.text(),
        "stderr": stderr.text(),
        "is_stdout_truncated": stdout.is_truncated,
        "files": files,
        "are_files_truncated": are_files_truncated,
    }


def _lay_out(asked: dict[str, Any]) -> None:
    Path(_FOLDER).mkdir()
    Path(_SCRIPT).write_text(asked["script"], encoding="utf-8", errors="replace")
    Path(_STDIN).write_text(asked["stdin"], encoding="utf-8", errors="replace")
    for name, text in asked["files"].items():
        place = Path(_FOLDER, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8", errors="replace")


class _Output:
    """Keeps the beginning of a stream and reads on, so that its writer never waits."""

    def __init__(self, stream: IO[bytes] | None, limit: int) -> None:
        assert stream is not None
        os.set_blocking(stream.fileno(), False)
        self.descriptor = stream.fileno()
        self._limit = limit
        self._kept = bytearray()
        self.is_truncated = False
        self.is_open = True

    def read(self) -> None:
        """What there is at the moment."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.descriptor, 1 << 16):
                room = self._limit - len(self._kept)
                self.is_truncated = self.is_truncated or len(part) > room
                self._kept += part[:room]
                if room <= 0:
                    return  # an endless writer must not keep us from looking at the script
            self.is_open = False

    def text(self) -> str:
        return bytes(self._kept).decode("utf-8", "replace")


def _follow(process: subprocess.Popen[bytes], outputs: list[_Output]) -> int:
    """Read until the script has ended, or has closed its output. What it leaves running may hold the pipes; not waited for.

    No thread: where a script has used up the processes that it may have, there would be none.
    """
    while open_ones := [output for output in outputs if output.is_open]:
        status = process.poll()
        select.select([output.descriptor for output in open_ones], [], [], _LOOK_S if status is None else 0)
        for output in open_ones:
            output.read()
        if status is not None:
            return status
    return process.wait()


def _files() -> tuple[dict[str, str], bool]:
    """The regular files below the folder, links not followed: as many, and as much, as is taken."""
    found: dict[str, str] = {}
    room = plain.MAX_BYTES
    for folder, _, names in sorted(os.walk(_FOLDER)):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                continue
            data = _beginning(path, room + 1)
            if len(data) > room or len(found) >= _MAX_FILES:
                return found, True
            room -= len(data)
            found[str(path.relative_to(_FOLDER))] = data.decode("utf-8", "replace")
    return found, False


def _beginning(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except PermissionError:  # a script may take itself the right to read what it wrote
        path.chmod(0o600)
        with path.open("rb") as file:
            return file.read(count)
