"""One sandboxed zygote process, and the line to each task that it forks. Believes the zygote, never the task."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from forge_evaluator.sandbox.inside import frames, plain
from forge_evaluator.sandbox.launch import Launch
from forge_evaluator.sandbox.model import End, Limits, SandboxLost
from forge_evaluator.sandbox.seccomp import Profile

_START_S = 30.0
_GRACE_S = 5.0
_FRAME_LIMIT = plain.MAX_BYTES + 4096
# A shell's output and files travel in one frame; every character may be escaped.
_SHELL_FRAME_LIMIT = 16 * plain.MAX_BYTES
_AHEAD_BYTES = 32_000
_KINDS = {Profile.PYTHON: b"p", Profile.NODE: b"n", Profile.SHELL: b"s"}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task's process ended, and what it used, as its zygote told it."""

    end: End
    cpu_s: float
    wall_s: float
    memory_bytes: int
    detail: str = ""


class Line:
    """The judge's end of one task's pipe. Nothing that comes over it is believed."""

    def __init__(self, judge: socket.socket, kind: Profile, wall_s: float) -> None:
        self._judge = judge
        self.kind = kind
        self._limit = _SHELL_FRAME_LIMIT if kind is Profile.SHELL else _FRAME_LIMIT
        self.deadline = time.monotonic() + wall_s + _GRACE_S
        self.is_complete = False
        self.garbled = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._judge.close()

    def hold(self, talk: Callable[[], None]) -> None:
        """A task that falls silent ends the talk early; what it says wrongly is noted. Neither is raised."""
        self.is_complete = False
        try:
            talk()
        except (frames.Closed, TimeoutError, ConnectionError):
            return
        except frames.Malformed as error:
            self.garbled = str(error)
            return
        self.is_complete = True

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.send(asked)
        return self.receive()

    def ask_ahead(self, questions: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The replies, in order. A few questions lie ready in the pipe: waking a task for each costs more than most calls.

        What lies ahead is far less than a pipe holds, so that the two never wait for each other.
        """
        waiting: deque[int] = deque()
        is_gone = False
        for asked in questions:
            try:
                waiting.append(len(self.send(asked)))
            except ConnectionError:
                is_gone = True  # what it said before may still lie in the pipe
                break
            while waiting and sum(waiting) > _AHEAD_BYTES:
                waiting.popleft()
                yield self.receive()
        for _ in waiting:
            yield self.receive()
        if is_gone:
            raise frames.Closed

    def send(self, told: dict[str, Any]) -> bytes:
        """Returns what was sent."""
        self._judge.settimeout(max(0.01, self.deadline - time.monotonic()))
        data = json.dumps(told).encode()
        frames.send(self._judge, data)
        return data

    def receive(self) -> dict[str, Any]:
        """Raises frames.Malformed for anything but an object of reasonable depth."""
        self._judge.settimeout(max(0.01, self.deadline - time.monotonic()))
        told = frames.receive(self._judge, self._limit)
        if not isinstance(told, dict) or is_deep(told):
            raise frames.Malformed("a reply that is no object, or too deep a one")
        return told


class Worker:
    """Runs one task at a time; not for use by two threads at once. After SandboxLost it must be closed."""

    def __init__(self, launch: Launch, limits: Limits) -> None:
        self.limits = limits
        self._control, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        try:
            self._process, self.uid = launch.start(theirs, self._errors.fileno())
        except OSError as error:
            self._control.close()
            self._errors.close()
            raise SandboxLost(f"the sandbox did not start: {error}") from error
        finally:
            theirs.close()
        try:
            self.python = self._start(launch)
        except BaseException:
            self.close()
            raise

    def _start(self, launch: Launch) -> str:
        self._control.settimeout(_START_S)
        try:
            frames.send(self._control, launch.letter(self.limits, self.uid))
            hello = frames.receive(self._control, _FRAME_LIMIT)
        except (frames.Closed, frames.Malformed, OSError) as error:
            raise SandboxLost(f"the sandbox did not start: {self._last_words() or error}") from error
        if "ready" not in hello:
            raise SandboxLost(f"the sandbox did not start: {hello.get('failed')}")
        return str(hello["ready"])

    def begin(self, kind: Profile) -> Line:
        """Start a task. The line must be closed before `conclude` is called."""
        judge, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [_KINDS[kind]], [theirs.fileno()])
        except OSError as error:
            judge.close()
            raise SandboxLost("the sandbox is gone") from error
        finally:
            theirs.close()
        return Line(judge, kind, self.limits.wall_s)

    def conclude(self, line: Line) -> Ending:
        """Wait for the task's end. Raises SandboxLost when the sandbox, not the task, broke down."""
        self._control.settimeout(max(_GRACE_S, line.deadline - time.monotonic()))
        try:
            told = frames.receive(self._control, _FRAME_LIMIT)
        except (frames.Closed, frames.Malformed, OSError) as error:
            raise SandboxLost(f"the sandbox went silent: {self._last_words() or error}") from error
        if "failed" in told:
            raise SandboxLost(f"a task could not be walled in: {told['failed']}")
        end, detail = (End.GARBLED, line.garbled) if line.garbled else self._end(told, line)
        return Ending(end, told["cpu_s"], told["wall_s"], told["memory_bytes"], detail)

    def _end(self, told: dict[str, Any], line: Line) -> tuple[End, str]:
        if line.is_complete:
            return End.FINISHED, ""
        end = self._stopped(told, line.kind)
        if end is not None:
            return end, self._describe(end)
        if told["signal"] is not None:
            return End.DIED, f"ended by signal {told['signal']}"
        return End.DIED, f"left with exit status {told['exit']}"

    def _stopped(self, told: dict[str, Any], kind: Profile) -> End | None:
        """By a limit, as its zygote or the kernel applies it; None for any other way to end."""
        by_zygote = {"wall": End.WALL, "cpu": End.CPU, "memory": End.KILLED}
        if told["stopped"] is not None:
            return by_zygote[told["stopped"]]
        if told["signal"] == signal.SIGXCPU:
            return End.CPU
        if told["signal"] == signal.SIGKILL:
            # The kernel's CPU limit and its memory killer send the same signal. The limit is counted in ticks, which on a
            # busy machine run ahead of the exact time reported here (1.6 s was seen for 2): half of it tells them apart.
            return End.CPU if told["cpu_s"] >= self.limits.cpu_s * 0.5 else End.KILLED
        is_full = told["memory_bytes"] >= self.limits.memory_bytes // 2
        gave_up = kind is Profile.NODE and told["signal"] in _ABORTS and is_full
        return End.KILLED if gave_up else None

    def _describe(self, end: End) -> str:
        return {
            End.WALL: f"still running after {self.limits.wall_s:g} s",
            End.CPU: f"used {self.limits.cpu_s} s of CPU time",
            End.KILLED: "killed for memory",
        }[end]

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        self._errors.seek(0)
        return self._errors.read(2000).decode(errors="replace").strip()[-400:]

    def close(self) -> None:
        """Hanging up ends everything inside; a process that stays is killed."""
        self._control.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._errors.close()


# How V8 ends when its heap is full.
_ABORTS = (signal.SIGABRT, signal.SIGTRAP, signal.SIGILL, signal.SIGSEGV)


def is_deep(value: object) -> bool:
    """Whether it nests deeper than any honest reply, which has three JSON levels a value's level at most."""
    level: list[object] = [value]
    for _ in range(3 * plain.MAX_DEPTH + 10):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
