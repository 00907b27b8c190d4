"""The Linux system calls that the standard library lacks, by ctypes: namespaces, mounts, capabilities, Landlock, seccomp."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_AT_EMPTY_PATH = 0x1000
_SYS_MOUNT_SETATTR = 442
_SYS_EXECVEAT = 281 if platform.machine() == "aarch64" else 322
_SYS_PIVOT_ROOT = 41 if platform.machine() == "aarch64" else 155
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522

# Access rights that each Landlock ABI added; a right that the kernel does not know would be refused.
_LANDLOCK_FS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}
_LANDLOCK_READ = 0x1 | 0x4 | 0x8  # execute (mapping libraries), read file, read directory
_LANDLOCK_EXECUTE, _LANDLOCK_READ_FILE = 0x1, 0x4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), f"unshare({flags:#x})")


def enter_namespace(namespace: int, kind: int) -> None:
    """By its descriptor. A pid namespace is entered by the children only."""
    _checked(_libc.setns(namespace, kind), f"setns({kind:#x})")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    _checked(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            options.encode(),
        ),
        f"mount {source} on {target}",
    )


def bind_read_only(source: str, target: str) -> None:
    """Bind a folder or file with all that is mounted below it, read-only throughout (Linux 5.12)."""
    mount(source, target, None, MS_BIND | MS_REC)
    attributes = ctypes.create_string_buffer(struct.pack("QQQQ", MS_RDONLY | MS_NOSUID, 0, 0, 0))
    _checked(
        _libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR), _AT_FDCWD, target.encode(), _AT_RECURSIVE, attributes, 32
        ),
        "mount_setattr " + target,
    )


def bind(source: str, target: str, flags: int = 0) -> None:
    mount(source, target, None, MS_BIND | flags)


def detach(target: str) -> None:
    _checked(_libc.umount2(target.encode(), _MNT_DETACH), "umount " + target)


def pivot_root(new_root: str, put_old: str) -> None:
    _checked(_libc.syscall(ctypes.c_long(_SYS_PIVOT_ROOT), new_root.encode(), put_old.encode()), "pivot_root")


def _prctl(option: int, argument: int, pointer: object = None) -> None:
    _checked(
        _libc.prctl(option, ctypes.c_ulong(argument), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)),
        f"prctl({option})",
    )


def die_with_parent(signal: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal)


def be_dumpable() -> None:
    """After a change of uid the process's own /proc entries belong to root; this gives them back."""
    _prctl(_PR_SET_DUMPABLE, 1)


def no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    header = ctypes.create_string_buffer(struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0))
    _checked(_libc.capset(header, ctypes.create_string_buffer(24)), "capset")


def load_filter(program: bytes) -> None:
    """Load a seccomp program (an array of `struct sock_filter`) for this thread and all that it starts."""
    code = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head)


def landlock_abi() -> int:
    """0 where the kernel has no Landlock."""
    return max(
        0,
        int(_libc.syscall(ctypes.c_long(_SYS_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))),
    )


def landlock(readable: list[str], program: int = -1) -> None:
    """Forbid this process every file but those below `readable`, which it may read, and an open `program`; TCP; signals."""
    abi = landlock_abi()
    handled = _LANDLOCK_FS[min(abi, 5)]
    attributes = struct.pack("Q", handled)
    attributes += struct.pack("Q", 3) if abi >= 4 else b""
    attributes += struct.pack("Q", 3) if abi >= 6 else b""
    ruleset = _checked(
        _libc.syscall(
            ctypes.c_long(_SYS_LANDLOCK_CREATE),
            ctypes.create_string_buffer(attributes, len(attributes)),
            ctypes.c_size_t(len(attributes)),
            ctypes.c_uint32(0),
        ),
        "landlock_create_ruleset",
    )
    for path in readable:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _allow_reading(ruleset, place, is_folder=Path(path).is_dir())
        os.close(place)
    if program >= 0:
        _allow_reading(ruleset, program, is_folder=False)
    _checked(_libc.syscall(ctypes.c_long(_SYS_LANDLOCK_RESTRICT), ruleset, ctypes.c_uint32(0)), "landlock")
    os.close(ruleset)


def _allow_reading(ruleset: int, place: int, *, is_folder: bool) -> None:
    allowed = _LANDLOCK_READ if is_folder else _LANDLOCK_READ_FILE | _LANDLOCK_EXECUTE
    rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place))
    _checked(
        _libc.syscall(ctypes.c_long(_SYS_LANDLOCK_ADD), ruleset, 1, rule, ctypes.c_uint32(0)),
        "landlock_add_rule",
    )


def execute_open(program: int, arguments: list[str], environment: dict[str, str]) -> None:
    """Become the program that is open as this descriptor, wherever its file lies. Returns only by OSError."""
    texts = [text.encode() for text in arguments]
    settings = [f"{name}={value}".encode() for name, value in environment.items()]
    _checked(
        _libc.syscall(
            ctypes.c_long(_SYS_EXECVEAT),
            program,
            b"",
            (ctypes.c_char_p * (len(texts) + 1))(*texts, None),
            (ctypes.c_char_p * (len(settings) + 1))(*settings, None),
            _AT_EMPTY_PATH,
        ),
        "execveat",
    )
