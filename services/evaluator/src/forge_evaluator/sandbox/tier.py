"""Which walls this machine offers: tried out by building them and knocking, never by reading versions. None: refuse."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forge_evaluator.sandbox import seccomp
from forge_evaluator.sandbox.model import Answer, Job, Limits, NoSandbox, SandboxLost, Walls
from forge_evaluator.sandbox.worker import Launch, Worker

_NOBODY = 65534
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache")
_SYSTEM_PYTHON = Path("/usr/bin/python3")

# Runs as a candidate would; lists the doors that it found open.
_KNOCK = """
import os, socket
import colorsys  # not imported beforehand: the standard library must be readable from inside
def knock(secret, canary):
    open_doors = []
    def attempt(name, act):
        try:
            act()
        except OSError:
            return
        open_doors.append(name)
    attempt("network", lambda: socket.socket(socket.AF_INET).connect(("127.0.0.1", 9)))
    attempt("datagrams", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))
    attempt("password file", lambda: open("/etc/passwd").read())
    attempt("a file of the host", lambda: open(secret).read())
    attempt("writing", lambda: open("/usr/forge-knock", "w"))
    attempt("processes", lambda: os.fork() or os._exit(0))
    attempt("signals", lambda: os.kill(os.getppid(), 0) if os.getppid() else os.kill(-1, 0))
    return [canary, open_doors]
"""


@dataclass(frozen=True, slots=True)
class Tier:
    """Walls that held when tried. `description` goes into every report."""

    letter: str
    launch: Launch
    python: str

    @property
    def description(self) -> str:
        details = {
            Walls.BUBBLEWRAP: "bubblewrap, own user, pid, mount, ipc and net namespaces, seccomp",
            Walls.NAMESPACES: "own user, pid, mount, ipc and net namespaces, seccomp",
            Walls.LANDLOCK: "Landlock, seccomp",
            Walls.SEATBELT: "Seatbelt; memory is not limited",
        }[self.launch.walls]
        uid = f", uid {self.launch.uid}" if self.launch.uid is not None else ""
        return f"{self.letter}: {details}{uid}, python {self.python}"


def probe(allowed: tuple[Walls, ...] = tuple(Walls)) -> Tier:
    """The strongest walls that hold on this machine. Raises NoSandbox, with every reason, when none does."""
    failures = []
    for launch in _launches():
        if launch.walls not in allowed:
            continue
        try:
            return Tier(launch.walls.letter, launch, knock(launch))
        except SandboxLost as error:
            failures.append(f"{launch.walls.value} with {launch.interpreter}: {error.message}")
    raise NoSandbox(
        "no sandbox holds on this machine, so no model's code is run: "
        + ("; ".join(failures) or "none known"),
        fix="install bubblewrap, or allow unprivileged user namespaces, or use a kernel with Landlock (5.13)",
    )


def knock(launch: Launch) -> str:
    """Start one and try its doors from inside; returns its Python version. Raises SandboxLost if one is open."""
    worker = Worker(launch, Limits())
    try:
        with tempfile.NamedTemporaryFile() as secret:
            Path(secret.name).chmod(0o644)
            execution = worker.run(Job(_KNOCK, "knock", ((secret.name, "canary"),)))
    finally:
        worker.close()
    reply = execution.replies[0] if execution.replies else execution.loaded
    if reply is None or reply.kind is not Answer.VALUE:
        raise SandboxLost(f"the canary failed: {reply.text if reply else execution.detail}")
    if reply.value != ["canary", []]:
        raise SandboxLost(f"a door is open from inside: {str(reply.value)[:200]}")
    return worker.python


def _launches() -> Iterator[Launch]:
    if sys.platform == "darwin":
        yield from _seatbelt()
    if not (sys.platform.startswith("linux") and seccomp.supported()):
        return
    uid = _NOBODY if os.geteuid() == 0 else None
    for interpreter, prefix in _interpreters():
        readable = tuple(path for path in (*_SYSTEM, prefix) if Path(path).exists())
        readable = readable[:-1] if prefix.startswith("/usr") else readable
        if bwrap := shutil.which("bwrap"):
            yield Launch(Walls.BUBBLEWRAP, interpreter, _bubblewrap(bwrap, readable), readable, uid)
        yield Launch(Walls.NAMESPACES, interpreter, (), readable, uid)
        # An ordinary user's own processes count towards the limit, so it can only bite for a uid of its own.
        yield Launch(Walls.LANDLOCK, interpreter, (), readable, uid, limits_processes=uid is not None)


def _interpreters() -> Iterator[tuple[str, str]]:
    """This one, and the system's for where another uid may not read this one."""
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    yield str(own), sys.base_prefix
    if _SYSTEM_PYTHON.exists() and _SYSTEM_PYTHON.resolve() != own:
        yield str(_SYSTEM_PYTHON), "/usr"


def _bubblewrap(bwrap: str, readable: tuple[str, ...]) -> tuple[str, ...]:
    binds: list[str] = []
    # Where a folder on the way is closed to others (a 0700 home), bubblewrap would close its copy too.
    for parent in reversed(Path(readable[-1]).parents[:-1]):
        binds += ["--perms", "0755", "--dir", str(parent)]
    for path in readable:
        link = Path(path)
        binds += ["--symlink", str(link.readlink()), path] if link.is_symlink() else ["--ro-bind", path, path]
    shared = ("--unshare-pid", "--unshare-ipc", "--unshare-net", "--unshare-uts", "--cap-drop", "ALL")
    # Root keeps the two capabilities with which the process inside gives up being root, before any task exists.
    own = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID") if os.geteuid() == 0 else ("--unshare-user",)
    places = ("--proc", "/proc", "--dev", "/dev", "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/")  # noqa: S108
    return (bwrap, *shared, *own, *binds, *places, "--new-session")


_PROFILE = """(version 1)
(deny default)
(allow process-fork)
(allow process-exec (literal "{interpreter}") (subpath "{prefix}"))
(allow sysctl-read)
(allow signal (target same-sandbox))
(allow file-read-metadata)
(allow file-read* (subpath "{prefix}") (subpath "/usr/lib") (subpath "/System") (literal "/") (literal "/dev/null")
  (literal "/dev/urandom") (subpath "/private/var/db/dyld") (subpath "/Library/Preferences/Logging"))
(allow file-write-data (literal "/dev/null"))
"""


def _seatbelt() -> Iterator[Launch]:
    program = shutil.which("sandbox-exec")
    if program is None:
        return
    for interpreter, prefix in _interpreters():
        profile = _PROFILE.format(interpreter=interpreter, prefix=prefix)
        yield Launch(Walls.SEATBELT, interpreter, (program, "-p", profile), (), None)
