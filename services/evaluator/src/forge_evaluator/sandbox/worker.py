"""One sandboxed zygote process and the talk with the tasks that it forks. Believes the monitor, never the task."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from forge_evaluator.sandbox import seccomp
from forge_evaluator.sandbox.inside import frames, plain
from forge_evaluator.sandbox.model import Answer, End, Execution, Job, Limits, Reply, SandboxLost, Walls

_START_S = 30.0
_GRACE_S = 5.0
_FRAME_LIMIT = plain.MAX_BYTES + 4096
_PACKAGE = "forge_evaluator.sandbox.inside"

# Runs before anything else in there: takes our modules from the socket, so that no file of ours must be readable.
_BOOTSTRAP = """
import importlib.abc, importlib.util, json, socket, struct, sys
sys.path[:] = [p for p in sys.path if p]
host = socket.socket(fileno=int(sys.argv[1]))
data = host.makefile("rb", buffering=0)
def exactly(n):
    out = b""
    while len(out) < n:
        out += data.read(n - len(out)) or sys.exit(1)
    return out
sent = json.loads(exactly(struct.unpack("!I", exactly(4))[0]))
class Sent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in sent["modules"]:
            return importlib.util.spec_from_loader(name, self, is_package=not sent["modules"][name])
    def exec_module(self, module):
        exec(compile(sent["modules"][module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Sent())
from forge_evaluator.sandbox.inside import zygote
zygote.main(host, sent["config"])
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one: `prefix` comes before the interpreter; `uid` is what root gives up its own for."""

    walls: Walls
    interpreter: str
    prefix: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    uid: int | None = None
    limits_processes: bool = True

    def config(self, limits: Limits) -> dict[str, Any]:
        return {
            "walls": self.walls.value,
            "uid": self.uid,
            "readable": list(self.readable),
            "filter": seccomp.build().hex() if seccomp.supported() else "",
            "cpu_s": limits.cpu_s,
            "wall_s": limits.wall_s,
            "memory_bytes": limits.memory_bytes,
            "disk_bytes": limits.disk_bytes,
            "file_bytes": limits.file_bytes,
            "files": limits.files,
            "threads": limits.threads if self.limits_processes else None,
        }


class Worker:
    """Runs one job at a time; not for use by two threads at once. After SandboxLost it must be closed."""

    def __init__(self, launch: Launch, limits: Limits) -> None:
        self._limits = limits
        self._control, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        try:
            self._process = _spawn(launch, theirs, self._errors.fileno())
        except OSError as error:
            self._control.close()
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
        sent = json.dumps({"modules": _modules(), "config": launch.config(self._limits)})
        try:
            frames.send(self._control, sent.encode())
            hello = frames.receive(self._control, _FRAME_LIMIT)
        except (frames.Closed, frames.Malformed, OSError) as error:
            raise SandboxLost(f"the sandbox did not start: {self._last_words() or error}") from error
        if "ready" not in hello:
            raise SandboxLost(f"the sandbox did not start: {hello.get('failed')}")
        return str(hello["ready"])

    def run(self, job: Job) -> Execution:
        """Raises SandboxLost when the sandbox, not the task, broke down."""
        judge, theirs = socket.socketpair()
        deadline = time.monotonic() + self._limits.wall_s + _GRACE_S
        with judge:
            try:
                socket.send_fds(self._control, [b"t"], [theirs.fileno()])
            except OSError as error:
                raise SandboxLost("the sandbox is gone") from error
            finally:
                theirs.close()
            talk = _Talk(judge, deadline)
            garbled = talk.hold(job)
        return self._conclude(talk, garbled, deadline)

    def _conclude(self, talk: _Talk, garbled: str, deadline: float) -> Execution:
        self._control.settimeout(max(_GRACE_S, deadline - time.monotonic()))
        try:
            told = frames.receive(self._control, _FRAME_LIMIT)
        except (frames.Closed, frames.Malformed, OSError) as error:
            raise SandboxLost(f"the sandbox went silent: {self._last_words() or error}") from error
        if "failed" in told:
            raise SandboxLost(f"a task could not be walled in: {told['failed']}")
        end, detail = (End.GARBLED, garbled) if garbled else _end(told, talk.is_complete, self._limits)
        replies = tuple(talk.replies)
        return Execution(
            replies[0] if replies else None,
            replies[1:],
            end,
            told["cpu_s"],
            told["wall_s"],
            told["memory_bytes"],
            detail,
        )

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


class _Talk:
    """The judge's side of one task: sends code and calls, notes the replies."""

    def __init__(self, judge: socket.socket, deadline: float) -> None:
        self._judge = judge
        self._deadline = deadline
        self.replies: list[Reply] = []
        self.is_complete = False

    def hold(self, job: Job) -> str:
        """Returns what was wrong with the task's speech, or nothing. A task that ends early leaves replies missing."""
        try:
            for asked in _questions(job):
                reply = self._ask(asked)
                self.replies.append(reply)
                if "code" in asked and reply.kind is not Answer.VALUE:
                    break
        except (frames.Closed, TimeoutError, ConnectionError):
            return ""
        except frames.Malformed as error:
            return str(error)
        self.is_complete = True
        return ""

    def _ask(self, asked: dict[str, Any]) -> Reply:
        self._judge.settimeout(max(0.01, self._deadline - time.monotonic()))
        frames.send(self._judge, json.dumps(asked).encode())
        told = frames.receive(self._judge, _FRAME_LIMIT)
        return _reply(told)


def _questions(job: Job) -> Iterator[dict[str, Any]]:
    yield {"code": job.code}
    for arguments in job.arguments:
        yield {"call": job.entry_point, "args": list(arguments)}


def _reply(told: object) -> Reply:
    """Read one untrusted reply. Raises frames.Malformed."""
    if not isinstance(told, dict) or _is_deep(told):
        raise frames.Malformed("a reply that is no object, or too deep a one")
    if "value" in told:
        return Reply(Answer.VALUE, told["value"])
    if "unsendable" in told:
        return Reply(Answer.UNSENDABLE, text=_clean(f"{told['unsendable']}"))
    if "raised" in told:
        line = told.get("line")
        text = _clean(f"{told['raised']}: {told.get('message', '')}")
        return Reply(Answer.RAISED, text=text, line=line if isinstance(line, int) else None)
    raise frames.Malformed("a reply of no known kind")


def _clean(text: str) -> str:
    """Short, and without the lone surrogates that no file takes."""
    return text[:500].encode("utf-8", "replace").decode("utf-8")


def _is_deep(value: object) -> bool:
    """Whether it nests deeper than any honest reply, which has three JSON levels a value's level at most."""
    level: list[object] = [value]
    for _ in range(3 * plain.MAX_DEPTH + 10):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _end(told: dict[str, Any], is_complete: bool, limits: Limits) -> tuple[End, str]:
    if is_complete:
        return End.FINISHED, ""
    if told["overran"]:
        return End.WALL, f"still running after {limits.wall_s:g} s"
    if told["signal"] == signal.SIGKILL:
        # The kernel's CPU limit and its memory killer send the same signal. The limit is counted in ticks, which on a busy
        # machine run ahead of the exact time reported here (1.6 s was seen for 2): half of it tells the two apart.
        used = told["cpu_s"] >= limits.cpu_s * 0.5
        return (End.CPU, f"used {limits.cpu_s} s of CPU time") if used else (End.KILLED, "killed for memory")
    if told["signal"] is not None:
        return End.DIED, f"ended by signal {told['signal']}"
    return End.DIED, f"left with exit status {told['exit']}"


def _modules() -> dict[str, str]:
    names = ("frames", "plain", "linux", "confine", "task", "zygote")
    folder = resources.files(_PACKAGE)
    sources = {f"{_PACKAGE}.{name}": (folder / f"{name}.py").read_text() for name in names}
    parents = _PACKAGE.split(".")
    return {".".join(parents[:depth]): "" for depth in range(1, len(parents) + 1)} | sources


def _spawn(launch: Launch, theirs: socket.socket, errors: int) -> subprocess.Popen[bytes]:
    # -S keeps site-packages out; the environment is empty but for a fixed hash seed, so that runs can be repeated.
    command = [*launch.prefix, launch.interpreter, "-s", "-S", "-B", "-c", _BOOTSTRAP, str(theirs.fileno())]
    user: dict[str, Any] = {}
    if launch.walls is Walls.LANDLOCK and launch.uid is not None:
        user = {"user": launch.uid, "group": launch.uid, "extra_groups": ()}
    process: subprocess.Popen[bytes] = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        pass_fds=[theirs.fileno()],
        env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        cwd=Path("/"),
        start_new_session=True,
        **user,
    )
    return process
