"""The seccomp programs of tasks on Linux, as raw BPF: an allow-list each, everything else is refused with EPERM.

No new processes, no programs, no sockets but a connected pair, no signals, no change of a file's mode or owner. Node may
be started once, from the descriptor that was opened for it. Shell scripts may start processes and programs, signal them,
and change modes and times of files; they get no namespace, no socket and no privilege either.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Sequence
from enum import StrEnum


class Profile(StrEnum):
    """What a task is made of, and so what it may ask of the kernel."""

    PYTHON = "python"
    NODE = "node"
    SHELL = "shell"


# name: (x86-64, arm64); 0 or more is the number, -1 means the machine has no such call.
_PLAIN: dict[str, tuple[int, int]] = {
    # files
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70), "close": (3, 57), "close_range": (436, 436),
    "lseek": (8, 62), "open": (2, -1), "openat": (257, 56), "creat": (85, -1), "stat": (4, -1), "lstat": (6, -1),
    "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291), "access": (21, -1), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, -1), "readlinkat": (267, 78), "getdents": (78, -1),
    "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "mkdir": (83, -1),
    "mkdirat": (258, 34), "rmdir": (84, -1), "unlink": (87, -1), "unlinkat": (263, 35), "rename": (82, -1),
    "renameat": (264, 38), "renameat2": (316, 276), "ftruncate": (77, 46), "fallocate": (285, 47), "fsync": (74, 82),
    "fdatasync": (75, 83), "flock": (73, 32), "fadvise64": (221, 223), "copy_file_range": (326, 285),
    "sendfile": (40, 71), "statfs": (137, 43), "fstatfs": (138, 44), "umask": (95, 166),
    # descriptors
    "dup": (32, 23), "dup2": (33, -1), "dup3": (292, 24), "pipe": (22, -1), "pipe2": (293, 59), "poll": (7, -1),
    "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72), "epoll_create": (213, -1),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, -1), "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441), "eventfd": (284, -1), "eventfd2": (290, 19), "sendto": (44, 206),
    "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212), "shutdown": (48, 210),
    "getsockopt": (55, 209), "getsockname": (51, 204), "getpeername": (52, 205),
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214), "mincore": (27, 232),
    # threads, waiting and signals to itself
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94), "wait4": (61, 260),
    "futex": (202, 98), "futex_waitv": (449, 449), "set_robust_list": (273, 99), "get_robust_list": (274, 100),
    "rseq": (334, 293), "set_tid_address": (218, 96), "membarrier": (324, 283), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "getcpu": (309, 168),
    # facts about itself, clocks, randomness
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getpgid": (121, 155), "getpgrp": (111, -1),
    "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getgroups": (115, 158), "getresuid": (118, 148), "getresgid": (120, 150), "getrlimit": (97, 163),
    "getrusage": (98, 165), "times": (100, 153), "sysinfo": (99, 179), "uname": (63, 160),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, -1), "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, -1),
    "pause": (34, -1), "getrandom": (318, 278),
}  # fmt: skip

# What a program's own start needs.
_EXEC: dict[str, tuple[int, int]] = {"arch_prctl": (158, -1)}

_SHELL: dict[str, tuple[int, int]] = {
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "waitid": (247, 95), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "setpgid": (109, 154), "setsid": (112, 157), "timer_create": (222, 107),
    "timer_settime": (223, 110), "timer_gettime": (224, 108), "timer_delete": (226, 111),
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "symlink": (88, -1),
    "symlinkat": (266, 36), "link": (86, -1), "linkat": (265, 37), "truncate": (76, 45), "utime": (132, -1),
    "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88), "getxattr": (191, 8), "lgetxattr": (192, 9),
    "fgetxattr": (193, 10), "listxattr": (194, 11), "llistxattr": (195, 12), "flistxattr": (196, 13),
}  # fmt: skip

_CHECKED: dict[str, tuple[int, int]] = {
    "clone": (56, 220), "clone3": (435, 435), "fcntl": (72, 25), "ioctl": (16, 29), "prlimit64": (302, 261),
    "socketpair": (53, 199), "execveat": (322, 281), "mknodat": (259, 33),
}  # fmt: skip

_ARCHITECTURES = {"x86_64": (0xC000_003E, 0), "aarch64": (0xC000_00B7, 1)}
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF_0000, 0x8000_0000, 0x0005_0001, 0x0005_0026
_LOAD, _EQUAL, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_CLONE_THREAD = 0x0001_0000
# NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_CLONE_NAMESPACES = (
    0x0000_0080 | 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x6000_0000
)
NODE_DESCRIPTOR = 200
"""Above every limit on descriptors, and closed by the exec itself: there is no second one."""
# Duplicating, flags and record locks; F_SETOWN and F_SETSIG would let one send signals.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)
# TCGETS (isatty), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_IOCTL = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)
_S_IFMT, _S_IFIFO = 0o170000, 0o010000
_AF_UNIX, _SOCK_STREAM = 1, 1


def supported() -> bool:
    return platform.machine() in _ARCHITECTURES


def build(machine: str | None = None, profile: Profile = Profile.PYTHON) -> bytes:
    """The program for `machine` (default: this one) as an array of `struct sock_filter`."""
    architecture, column = _ARCHITECTURES[machine or platform.machine()]
    code = [
        _op(_LOAD, _ARCHITECTURE),
        _op(_EQUAL, architecture, yes=1),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
    ]
    for numbers in (_PLAIN | _MORE[profile]).values():
        if numbers[column] >= 0:
            code += [_op(_EQUAL, numbers[column], no=1), _op(_RETURN, _ALLOW)]
    for name, check in (_CHECKS | _SPECIAL[profile]).items():
        body = check()
        code += [_op(_EQUAL, _CHECKED[name][column], no=len(body)), *body]
    return b"".join([*code, _op(_RETURN, _EPERM)])


def _op(operation: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", operation, yes, no, value)


def _argument(index: int) -> bytes:
    return _op(_LOAD, _ARGUMENTS + 8 * index)


def _one_of(index: int, values: Sequence[int], *, mask: int | None = None) -> list[bytes]:
    """Allow when the argument's lower half is one of `values`; falls through otherwise."""
    code = [_argument(index)]
    if mask is not None:
        code.append(_op(_AND, mask))
    for value in values:
        code += [_op(_EQUAL, value, no=1), _op(_RETURN, _ALLOW)]
    return code


def _refuse(*checks: bytes) -> list[bytes]:
    return [*checks, _op(_RETURN, _EPERM)]


def _thread_only() -> list[bytes]:
    return _refuse(_argument(0), _op(_ANY_BIT, _CLONE_THREAD, no=1), _op(_RETURN, _ALLOW))


def _process() -> list[bytes]:
    return [_argument(0), _op(_ANY_BIT, _CLONE_NAMESPACES, yes=1), _op(_RETURN, _ALLOW), _op(_RETURN, _EPERM)]


def _unknown() -> list[bytes]:
    # clone3 passes its flags by pointer, which a filter cannot read; libc then falls back to clone.
    return [_op(_RETURN, _ENOSYS)]


def _connected_pair() -> list[bytes]:
    # An unconnected datagram socket could be used to reach other programs' sockets.
    return _refuse(
        _argument(0), _op(_EQUAL, _AF_UNIX, no=4), *_one_of(1, (_SOCK_STREAM,), mask=0xF)
    )  # fmt: skip


_CHECKS: dict[str, Callable[[], list[bytes]]] = {
    "clone": _thread_only,
    "clone3": _unknown,
    "fcntl": lambda: _refuse(*_one_of(1, _FCNTL)),
    "ioctl": lambda: _refuse(*_one_of(1, _IOCTL)),
    "prlimit64": lambda: _refuse(*_one_of(0, (0,))),
    "socketpair": _connected_pair,
}
_MORE = {Profile.PYTHON: {}, Profile.NODE: _EXEC, Profile.SHELL: _EXEC | _SHELL}
_SPECIAL: dict[Profile, dict[str, Callable[[], list[bytes]]]] = {
    Profile.PYTHON: {},
    Profile.NODE: {"execveat": lambda: _refuse(*_one_of(0, (NODE_DESCRIPTOR,)))},
    Profile.SHELL: {
        "clone": _process,
        "mknodat": lambda: _refuse(*_one_of(2, (_S_IFIFO,), mask=_S_IFMT)),
    },
}
