"""The warm parent: imports what answers usually import, then forks one task for every socket it is sent, and watches it.

The task cannot reach this process (another pid namespace, or Landlock and seccomp), so how a task ended is told by who
cannot be made to lie. Ends as soon as the host hangs up.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from forge_evaluator.sandbox.inside import confine, frames, node, plain, shell, task, tree

_USUAL = [
    "abc",
    "array",
    "ast",
    "base64",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "inspect",
    "io",
    "itertools",
    "json",
    "math",
    "numbers",
    "operator",
    "queue",
    "random",
    "re",
    "secrets",
    "sqlite3",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "uuid",
]
_LINUX = sys.platform.startswith("linux")
_LOOK_S = 0.1
_KINDS = {b"p": "python", b"n": "node", b"s": "shell"}
_REHEARSALS = 12


def main(host: socket.socket, config: dict[str, Any], node_descriptor: int) -> None:
    try:
        node_descriptor = node.keep(node_descriptor)
        config["proc"] = confine.enter(config)
        config["pid_namespace"] = confine.pid_namespace(config)
        for name in _USUAL:
            importlib.import_module(name)
    except (OSError, ImportError) as error:
        frames.send(host, plain.dump({"failed": str(error)}))
        os._exit(1)
    config["node"] = node_descriptor
    config["filters"] = {kind: bytes.fromhex(program) for kind, program in config["filters"].items()}
    _rehearse()
    ended = _tell_of_ends()
    gc.collect()
    gc.freeze()
    gc.disable()  # until there is a candidate
    frames.send(host, plain.dump({"ready": sys.version.split()[0]}))
    while True:
        _serve_one(host, ended, config)


def _rehearse() -> None:
    """Go the way of a task, in vain. What Python and the linker look up on it is then known in every copy of this process."""
    asked = ({"code": "def echo(x):\n    return x\n"}, *({"call": "echo", "args": [[1, "a", 0.5]]},) * 3)
    for _ in range(_REHEARSALS):
        judge, theirs = socket.socketpair()
        with judge, theirs:
            for question in asked:
                frames.send(judge, plain.dump(question))
            judge.shutdown(socket.SHUT_WR)
            task.serve(theirs)


def _tell_of_ends() -> int:
    """A descriptor that can be read once a child has ended."""
    ended, signalled = os.pipe()
    for end in (ended, signalled):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return ended


def _serve_one(host: socket.socket, ended: int, config: dict[str, Any]) -> None:
    message, descriptors, _, _ = socket.recv_fds(host, 1, 1)
    if not message or not descriptors:
        os._exit(0)
    kind = _KINDS[message]
    failure, building = os.pipe()
    began = time.monotonic()
    try:
        child = confine.fork_task(config)
    except OSError as error:
        report: dict[str, Any] = {"failed": str(error)}
    else:
        if child == 0:
            _task(descriptors[0], building, config, kind)
        report = _Watch(host, ended, child, kind, began).until_the_end(config)
    os.close(building)
    # Only before it ran any code could it write there.
    if failed := os.read(failure, 500):
        report = {"failed": failed.decode(errors="replace")}
    os.close(failure)
    os.close(descriptors[0])
    frames.send(host, plain.dump(report))


def _task(judge: int, building: int, config: dict[str, Any], kind: str) -> None:
    """Build the walls around this process, then let it be the task. Never returns."""
    try:
        _settle(judge, building, config, kind)
        if kind == "node":
            node.become(config)
        elif kind == "shell":
            shell.serve(socket.socket(fileno=3))
        else:
            task.serve(socket.socket(fileno=3))
    finally:
        os._exit(0)


def _settle(judge: int, building: int, config: dict[str, Any], kind: str) -> None:
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        confine.isolate_task(config, kind)
        os.dup2(judge, 3)
        kept = config["node"] if kind == "node" else -1
        building = task.silence(building, keep=kept)
        confine.lock_task(config, kind, kept)
    except OSError as error:
        os.write(building, str(error).encode())
        os._exit(1)
    os.close(building)
    gc.enable()


class _Watch:
    """Waits for one task to end; the wall clock is the backstop behind its CPU limit.

    A shell's processes are each limited by the kernel, and all together by looking at them ten times a second.
    """

    def __init__(self, host: socket.socket, ended: int, child: int, kind: str, began: float) -> None:
        self._host = host
        self._ended = ended
        self._child = child
        self._is_shell = kind == "shell"
        self._began = began
        self._seen = tree.Usage()

    def until_the_end(self, config: dict[str, Any]) -> dict[str, Any]:
        stopped = None
        while True:
            ended, status, usage = os.wait4(self._child, os.WNOHANG)
            if ended:
                break
            self._wait(config["wall_s"] if stopped is None else None)
            stopped = stopped or self._excess(config)
            if stopped:
                os.kill(self._child, signal.SIGKILL)
        self._end_the_rest()
        return {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "stopped": stopped,
            "cpu_s": max(self._seen.cpu_s, usage.ru_utime + usage.ru_stime),
            "wall_s": time.monotonic() - self._began,
            "memory_bytes": max(self._seen.memory_bytes, usage.ru_maxrss * (1024 if _LINUX else 1)),
        }

    def _wait(self, wall_s: float | None) -> None:
        """For an end, or until it is time to look; a host that hangs up meanwhile ends everything at once."""
        patience = None if wall_s is None else max(0.0, self._began + wall_s - time.monotonic())
        if self._is_shell and patience is not None:
            patience = min(patience, _LOOK_S)
        ready, _, _ = select.select([self._ended, self._host.fileno()], [], [], patience)
        if self._host.fileno() in ready:  # nothing is sent to us before we have reported
            os.kill(self._child, signal.SIGKILL)  # it may have no group of its own yet
            self._end_the_rest()
            os._exit(0)
        if self._ended in ready:
            os.read(self._ended, 512)

    def _excess(self, config: dict[str, Any]) -> str | None:
        if self._is_shell:
            self._seen.look(config["proc"], os.getpid())
        if time.monotonic() - self._began >= config["wall_s"]:
            return "wall"
        return self._seen.excess(config["cpu_s"], config["memory_bytes"])

    def _end_the_rest(self) -> None:
        """What it started ends with its namespace; where there is none, with its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
