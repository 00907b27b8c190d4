"""Which walls this machine offers: tried out by building them and knocking, never by reading versions. None: refuse."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forge_evaluator.sandbox import seccomp
from forge_evaluator.sandbox.knock import knock
from forge_evaluator.sandbox.launch import Launch, node_program
from forge_evaluator.sandbox.model import NoSandbox, SandboxLost, Walls

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_DEVICES = ("/dev/null", "/dev/urandom")
_SYSTEM_PYTHON = Path("/usr/bin/python3")


@dataclass(frozen=True, slots=True)
class Tier:
    """Walls that held when tried, and what runs behind them (versions; empty: refused). Goes into every report."""

    letter: str
    launch: Launch
    python: str
    node: str = ""
    sqlite: str = ""
    bash: str = ""

    @property
    def description(self) -> str:
        details = {
            Walls.BUBBLEWRAP: "bubblewrap, own user, pid, mount, ipc and net namespaces, seccomp",
            Walls.NAMESPACES: "own user, pid, mount, ipc and net namespaces, seccomp",
            Walls.LANDLOCK: "Landlock, seccomp",
            Walls.SEATBELT: "Seatbelt; memory is not limited",
        }[self.launch.walls]
        uid = ", a uid of its own" if self.launch.gives_up_root else ""
        versions = {"python": self.python, "node": self.node, "sqlite": self.sqlite, "bash": self.bash}
        told = [f"{name} {version}" if version else f"no {name}" for name, version in versions.items()]
        return f"{self.letter}: {details}{uid}, {', '.join(told)}"


def probe(allowed: tuple[Walls, ...] = tuple(Walls)) -> Tier:
    """The strongest walls that hold on this machine. Raises NoSandbox, with every reason, when none does."""
    failures = []
    for launch in _launches():
        if launch.walls not in allowed:
            continue
        try:
            found = knock(launch)
            return Tier(launch.walls.letter, launch, found.python, found.node, found.sqlite, found.bash)
        except SandboxLost as error:
            failures.append(f"{launch.walls.value} with {launch.interpreter}: {error.message}")
    raise NoSandbox(
        "no sandbox holds on this machine, so no model's code is run: "
        + ("; ".join(failures) or "none known"),
        fix="install bubblewrap, or allow unprivileged user namespaces, or use a kernel with Landlock (5.13)",
    )


def _launches() -> Iterator[Launch]:
    if sys.platform == "darwin":
        yield from _seatbelt()
    if not (sys.platform.startswith("linux") and seccomp.supported()):
        return
    is_root = os.geteuid() == 0
    node = node_program()
    for interpreter, prefix in _interpreters():
        readable = tuple(path for path in (*_SYSTEM, prefix) if Path(path).exists())
        readable = readable[:-1] if prefix.startswith("/usr") else readable
        if bwrap := shutil.which("bwrap"):
            yield Launch(
                Walls.BUBBLEWRAP, interpreter, _bubblewrap(bwrap, readable), readable, is_root, node=node
            )
        yield Launch(Walls.NAMESPACES, interpreter, (), readable, is_root, node=node)
        # An ordinary user's own processes count towards the limit, so it can only bite for a uid of its own.
        yield Launch(Walls.LANDLOCK, interpreter, (), (*readable, *_DEVICES), is_root, is_root, node)


def _interpreters() -> Iterator[tuple[str, str]]:
    """This one, and the system's for where another uid may not read this one."""
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    yield str(own), sys.base_prefix
    if _SYSTEM_PYTHON.exists() and _SYSTEM_PYTHON.resolve() != own:
        yield str(_SYSTEM_PYTHON), "/usr"


def _bubblewrap(bwrap: str, readable: tuple[str, ...]) -> tuple[str, ...]:
    binds: list[str] = []
    # Where a folder on the way is closed to others (a 0700 home), bubblewrap would close its copy too.
    for parent in (Path("/etc"), *reversed(Path(readable[-1]).parents[:-1])):
        binds += ["--perms", "0755", "--dir", str(parent)]
    for path in readable:
        link = Path(path)
        binds += ["--symlink", str(link.readlink()), path] if link.is_symlink() else ["--ro-bind", path, path]
    shared = ("--unshare-pid", "--unshare-ipc", "--unshare-net", "--unshare-uts", "--cap-drop", "ALL")
    # Root keeps the two capabilities with which the process inside gives up being root, before any task exists.
    own = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID") if os.geteuid() == 0 else ("--unshare-user",)
    # The host's /proc is what lets the zygote mount a fresh one, as an obscured one would not; it covers this one at once.
    places = ("--bind", "/proc", "/proc", "--dev", "/dev", "--dir", "/tmp")  # noqa: S108
    return (bwrap, *shared, *own, *binds, *places, "--remount-ro", "/", "--chdir", "/", "--new-session")


_PROFILE = """(version 1)
(deny default)
(allow process-fork)
(allow process-exec (literal "{interpreter}") (subpath "{prefix}") (literal "{node}"))
(allow sysctl-read)
(allow signal (target same-sandbox))
(allow file-read-metadata)
(allow file-read* (subpath "{prefix}") (literal "{node}") (subpath "/usr/lib") (subpath "/System") (literal "/") (literal "/dev/null")
  (literal "/dev/urandom") (subpath "/private/var/db/dyld") (subpath "/Library/Preferences/Logging"))
(allow file-write-data (literal "/dev/null"))
"""


def _seatbelt() -> Iterator[Launch]:
    program = shutil.which("sandbox-exec")
    if program is None:
        return
    for interpreter, prefix in _interpreters():
        node = node_program()
        profile = _PROFILE.format(interpreter=interpreter, prefix=prefix, node=node or interpreter)
        yield Launch(Walls.SEATBELT, interpreter, (program, "-p", profile), (), node=node)
