"""The warm parent: imports what answers usually import, then forks one monitor and one task for every socket it is sent.

The task cannot reach the monitor (another pid namespace, or Landlock and seccomp), so how a task ended is told by the
monitor alone. Ends as soon as the host hangs up.
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

from forge_evaluator.sandbox.inside import confine, frames, linux, node, plain, shell, task, tree

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


def main(host: socket.socket, config: dict[str, Any], node_descriptor: int) -> None:
    try:
        node_descriptor = node.keep(node_descriptor)
        config["proc"] = confine.enter(config)
        for name in _USUAL:
            importlib.import_module(name)
    except (OSError, ImportError) as error:
        frames.send(host, plain.dump({"failed": str(error)}))
        os._exit(1)
    config["node"] = node_descriptor
    gc.collect()
    gc.freeze()
    gc.disable()  # until there is a candidate: no monitor lives long enough to make garbage
    frames.send(host, plain.dump({"ready": sys.version.split()[0]}))
    while True:
        _serve_one(host, config)


def _serve_one(host: socket.socket, config: dict[str, Any]) -> None:
    message, descriptors, _, _ = socket.recv_fds(host, 1, 1)
    if not message or not descriptors:
        os._exit(0)
    done, alive = os.pipe()
    monitor = os.fork()
    if monitor == 0:
        os.close(done)
        _monitor(host, socket.socket(fileno=descriptors[0]), config, _KINDS[message])
    os.close(alive)
    os.close(descriptors[0])
    _await(host, done, monitor)
    os.close(done)


def _await(host: socket.socket, done: int, monitor: int) -> None:
    """Wait for the monitor; a host that hangs up meanwhile ends everything at once."""
    ready, _, _ = select.select([done, host.fileno()], [], [])
    if host.fileno() in ready and not host.recv(1, socket.MSG_PEEK):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(monitor, signal.SIGKILL)
        os._exit(0)
    # A message is only the next task, sent as soon as the monitor had reported.
    os.waitpid(monitor, 0)
    with contextlib.suppress(ChildProcessError):  # a task whose monitor was killed comes to us
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _monitor(host: socket.socket, judge: socket.socket, config: dict[str, Any], kind: str) -> None:
    """Fork the task, outlive it, and tell the host how it ended. Never returns."""
    os.setpgid(0, 0)
    try:
        if _LINUX:
            linux.die_with_parent(signal.SIGKILL)
        confine.isolate_task(config, kind, config["proc"])
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _task(judge, config, kind)
        judge.close()
        report = _watch(child, config, kind, began)
    except OSError as error:
        report = {"failed": str(error)}
    frames.send(host, plain.dump(report))
    os._exit(0)


def _task(judge: socket.socket, config: dict[str, Any], kind: str) -> None:
    try:
        os.dup2(judge.fileno(), 3)
        gc.enable()
        task.silence(keep=config["node"] if kind == "node" else -1)
        confine.lock_task(config, kind, config["node"] if kind == "node" else -1)
        if kind == "node":
            node.become(config)
        elif kind == "shell":
            shell.serve(socket.socket(fileno=3))
        else:
            task.serve(socket.socket(fileno=3))
    finally:
        os._exit(0)


def _watch(child: int, config: dict[str, Any], kind: str, began: float) -> dict[str, Any]:
    """Wait for the task to end; the wall clock is the backstop behind its CPU limit.

    A shell's processes are each limited by the kernel, and all together by looking at them ten times a second.
    """
    stopped: list[str] = []
    seen = tree.Usage()

    def look(_signal: int, _frame: object) -> None:
        if kind == "shell":
            seen.look(config["proc"], os.getpid())
        reason = seen.excess(config["cpu_s"], config["memory_bytes"])
        if time.monotonic() - began >= config["wall_s"]:
            reason = "wall"
        if reason:
            stopped.append(reason)
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, look)
    every = _LOOK_S if kind == "shell" else config["wall_s"]
    signal.setitimer(signal.ITIMER_REAL, every, every)
    _, status, usage = os.wait4(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return {
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "stopped": stopped[0] if stopped else None,
        "cpu_s": max(seen.cpu_s, usage.ru_utime + usage.ru_stime),
        "wall_s": time.monotonic() - began,
        "memory_bytes": max(seen.memory_bytes, usage.ru_maxrss * (1024 if _LINUX else 1)),
    }
