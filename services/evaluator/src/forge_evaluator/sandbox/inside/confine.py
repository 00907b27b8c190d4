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
_TASK_NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWIPC
_HARMLESS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
# V8 reserves far more addresses than it writes to, so Node is limited in what is writable; and of that it claims 512 MB for
# compiled code at once, of which it touches as much as it compiles, and its threads' stacks.
_V8_RESERVES = 560 << 20
_OWN_NAMESPACES = ("bubblewrap", "namespaces")


def enter(config: dict[str, Any]) -> int:
    """Put this process behind the walls that all tasks share. With namespaces it returns only in their first process.

    Returns a descriptor of /proc as this process sees it, or -1. No task keeps it.
    """
    walls = config["walls"]
    if walls == "landlock":
        linux.no_new_privileges()
    if walls not in _OWN_NAMESPACES:
        return -1
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    if walls == "bubblewrap":
        _become(config["uid"])
        _own_namespaces(proc)
    elif os.geteuid() == 0:
        # As root build the new root first and drop the uid after; else own a user namespace first.
        linux.unshare(linux.CLONE_NEWNS)
        _new_root(config["readable"])
        _become(config["uid"])
        _own_namespaces(proc)
    else:
        _own_namespaces(proc)
        _new_root(config["readable"])
    return _own_proc(proc)


def pid_namespace(config: dict[str, Any]) -> int:
    """This process's own, as a descriptor; -1 where namespaces are not used."""
    if config["walls"] not in _OWN_NAMESPACES:
        return -1
    return os.open("self/ns/pid", os.O_RDONLY, dir_fd=config["proc"])


def _own_proc(proc: int) -> int:
    """Show only our own processes, where the kernel lets us (a container's masked /proc may forbid it)."""
    try:
        linux.mount("none", "/proc", "proc", _HARMLESS)
    except OSError:
        return proc
    os.close(proc)
    return os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)


def _become(uid: int | None) -> None:
    """Give up root for good. The limit on processes counts nothing while the kernel's uid is 0."""
    if uid is None or os.geteuid() != 0:
        return
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    linux.be_dumpable()


def _own_namespaces(proc: int) -> None:
    """Become the owner of fresh namespaces, as their first process."""
    _unshare_with_user(_ZYGOTE_NAMESPACES, proc)
    child = os.fork()
    if child == 0:
        linux.die_with_parent(signal.SIGKILL)
        return
    # A new pid namespace begins with the next child: this process only waits for it and ends as it ends.
    os.closerange(3, 256)
    _, status = os.waitpid(child, 0)
    os._exit(0 if status == 0 else 1)


def _unshare_with_user(flags: int, proc: int) -> None:
    """The present uid is mapped onto itself: there is no other one in the new namespace, and so no root."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(flags)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        entry = os.open("self/" + name, os.O_WRONLY, dir_fd=proc)
        os.write(entry, text.encode())
        os.close(entry)


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
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path("/dev/" + name).symlink_to(target)
    Path("/tmp").mkdir(exist_ok=True)
    Path("/proc").mkdir()
    linux.bind("/.host/proc", "/proc", linux.MS_REC)
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


def fork_task(config: dict[str, Any]) -> int:
    """Fork a process that is the first one of a fresh pid namespace, where there are namespaces. Called in the zygote.

    Its other namespaces it makes itself: a process can have no child in a user namespace but by entering it.
    """
    if config["walls"] not in _OWN_NAMESPACES:
        return os.fork()
    linux.unshare(linux.CLONE_NEWPID)
    try:
        child = os.fork()
    except OSError:
        _leave_pid_namespace(config)
        raise
    if child:
        _leave_pid_namespace(config)
    return child


def _leave_pid_namespace(config: dict[str, Any]) -> None:
    """So that the next child begins one of its own."""
    linux.enter_namespace(config["pid_namespace"], linux.CLONE_NEWPID)


def isolate_task(config: dict[str, Any], kind: str) -> None:
    """Called in the task: user, mount and ipc namespaces of its own, an empty /tmp, and no processes but its own in /proc."""
    if config["walls"] not in _OWN_NAMESPACES:
        return
    has_proc = kind == "shell" and _show_own_processes()
    _unshare_with_user(_TASK_NAMESPACES, config["proc"])
    if not has_proc:
        linux.mount("none", "/proc", "tmpfs", _HARMLESS | linux.MS_RDONLY, "size=4k")
    options = f"size={config['disk_bytes']},nr_inodes={config['files']},mode=1777"
    # A shell's own scripts may be started; in the other tasks nothing may.
    flags = linux.MS_NOSUID | linux.MS_NODEV if kind == "shell" else _HARMLESS
    linux.mount("none", "/tmp", "tmpfs", flags, options)


def _show_own_processes() -> bool:
    """A /proc of the task's own pid namespace, which the `<(...)` of shells needs; where the kernel lets us.

    That namespace belongs to the zygote's user, so it is mounted before the task's own user begins.
    """
    linux.unshare(linux.CLONE_NEWNS)
    try:
        linux.mount("none", "/proc", "proc", _HARMLESS)
    except OSError:
        return False
    return True


def lock_task(config: dict[str, Any], kind: str, node: int = -1) -> None:
    """Called in the task, last of all: limits, then no capabilities, no files, no system calls but harmless ones."""
    _limit(config, kind)
    if not sys.platform.startswith("linux"):
        os.chdir("/")
        return
    os.chdir("/tmp" if config["walls"] in _OWN_NAMESPACES else "/")
    linux.die_with_parent(signal.SIGKILL)
    linux.no_new_privileges()
    if config["walls"] == "landlock":
        linux.landlock(config["readable"], node)
    linux.drop_capabilities()
    linux.load_filter(config["filters"][kind])


def _limit(config: dict[str, Any], kind: str) -> None:
    limits = {
        # A shell's processes are limited all together, by the zygote; the kernel's limit on each is behind that.
        resource.RLIMIT_CPU: config["cpu_s"] + (kind == "shell"),
        resource.RLIMIT_FSIZE: config["file_bytes"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform != "darwin":  # macOS takes no limit on either
        if kind == "node":
            limits[resource.RLIMIT_DATA] = config["memory_bytes"] + _V8_RESERVES
        else:
            limits[resource.RLIMIT_AS] = config["memory_bytes"]
    if config["threads"] is not None:
        limits[resource.RLIMIT_NPROC] = config["threads"]
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
