"""Walls around the zygote (once) and around each task (after the fork). Raises OSError where a wall cannot be built."""

# ruff: noqa: S108 (the /tmp in here is the sandbox's own)
from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from forge_evaluator.sandbox.inside import linux

_ZYGOTE_NAMESPACES = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWUTS
)
_TASK_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC
_HARMLESS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC


def enter(config: dict[str, Any]) -> None:
    """Put this process behind the walls that all tasks share. With namespaces it returns only in their first process."""
    walls = config["walls"]
    if walls == "landlock":
        linux.no_new_privileges()
    elif walls == "bubblewrap":
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        _become(config["uid"])
        _own_namespaces(proc)
        linux.mount("none", "/proc", "tmpfs", _HARMLESS | linux.MS_RDONLY, "size=4k")
    elif walls == "namespaces":
        _build_everything(config)


def _build_everything(config: dict[str, Any]) -> None:
    """Without bubblewrap: as root build the new root first and drop the uid after; else own a user namespace first."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    if os.geteuid() == 0:
        linux.unshare(linux.CLONE_NEWNS)
        _new_root(config["readable"])
        _become(config["uid"])
        _own_namespaces(proc)
    else:
        _own_namespaces(proc)
        _new_root(config["readable"])


def _become(uid: int | None) -> None:
    """Give up root for good. The limit on processes counts nothing while the kernel's uid is 0."""
    if uid is None or os.geteuid() != 0:
        return
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    linux.be_dumpable()


def _own_namespaces(proc: int) -> None:
    """Become the owner of fresh namespaces, mapping the present uid onto itself, as their first process."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(_ZYGOTE_NAMESPACES)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        entry = os.open("self/" + name, os.O_WRONLY, dir_fd=proc)
        os.write(entry, text.encode())
        os.close(entry)
    os.close(proc)
    _continue_in_child()


def _continue_in_child() -> None:
    """A new pid namespace begins with the next child: this process only waits for it and ends as it ends."""
    child = os.fork()
    if child == 0:
        linux.die_with_parent(signal.SIGKILL)
        return
    os.closerange(3, 256)
    _, status = os.waitpid(child, 0)
    os._exit(0 if status == 0 else 1)


def _new_root(readable: list[str]) -> None:
    """A root of its own: an empty tmpfs with `readable` bound into it read-only, and three harmless devices."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("none", "/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=755")
    Path("/tmp/.host").mkdir()
    linux.pivot_root("/tmp", "/tmp/.host")
    os.chdir("/")
    for path in readable:
        _show(path)
    Path("/dev").mkdir()
    for device in ("null", "zero", "urandom"):
        _touch("/dev/" + device)
        linux.bind("/.host/dev/" + device, "/dev/" + device)
    Path("/tmp").mkdir(exist_ok=True)
    linux.detach("/.host")
    Path("/.host").rmdir()
    linux.mount("none", "/", None, _REMOUNT_READ_ONLY)


_REMOUNT_READ_ONLY = 32 | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV


def _show(path: str) -> None:
    host, here = Path("/.host" + path), Path(path)
    if host.is_symlink():
        here.symlink_to(host.readlink())
        return
    (here if host.is_dir() else here.parent).mkdir(mode=0o755, parents=True, exist_ok=True)
    if not host.is_dir():
        _touch(path)
    linux.bind_read_only(str(host), path)


def _touch(path: str) -> None:
    Path(path).touch(0o644)


def isolate_task(config: dict[str, Any]) -> None:
    """Called in the monitor: what it forks next is the first process of a fresh pid namespace with an empty /tmp."""
    if config["walls"] not in ("bubblewrap", "namespaces"):
        return
    linux.unshare(_TASK_NAMESPACES)
    options = f"size={config['disk_bytes']},nr_inodes={config['files']},mode=1777"
    linux.mount("none", "/tmp", "tmpfs", _HARMLESS, options)


def lock_task(config: dict[str, Any], program: bytes) -> None:
    """Called in the task, last of all: limits, then no capabilities, no files, no system calls but harmless ones."""
    _limit(config)
    os.chdir("/tmp" if config["walls"] in ("bubblewrap", "namespaces") else "/")
    if not sys.platform.startswith("linux"):
        return
    linux.die_with_parent(signal.SIGKILL)
    linux.no_new_privileges()
    if config["walls"] == "landlock":
        linux.landlock(config["readable"])
    linux.drop_capabilities()
    linux.load_filter(program)


def _limit(config: dict[str, Any]) -> None:
    limits = {
        resource.RLIMIT_CPU: config["cpu_s"],
        resource.RLIMIT_FSIZE: config["file_bytes"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform != "darwin":  # macOS takes no limit on address space
        limits[resource.RLIMIT_AS] = config["memory_bytes"]
    if config["threads"] is not None:
        limits[resource.RLIMIT_NPROC] = config["threads"]
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
