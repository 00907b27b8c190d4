"""The filter, run by a small interpreter of BPF written for this test, and its numbers against the kernel's headers."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from forge_evaluator.sandbox import seccomp
from forge_evaluator.sandbox.seccomp import Profile

EVERY = seccomp._PLAIN | seccomp._CHECKED | seccomp._SHELL | seccomp._EXEC
X86, ARM = 0xC000003E, 0xC00000B7
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, ABSENT = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


def verdict(machine, number, *arguments, architecture=X86, profile=Profile.PYTHON):
    code = seccomp.build(machine, profile)
    program = [struct.unpack_from("HBBI", code, at) for at in range(0, len(code), 8)]
    data = struct.pack("iIQ6Q", number, architecture, 0, *(*arguments, *[0] * (6 - len(arguments))))
    at = accumulator = 0
    while True:
        operation, yes, no, value = program[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x15:
            at += yes if accumulator == value else no
        elif operation == 0x45:
            at += yes if accumulator & value else no
        else:
            assert operation == 0x06
            return value


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (0, (), ALLOW),  # read
        (231, (), ALLOW),  # exit_group
        (41, (2, 1), REFUSE),  # socket
        (57, (), REFUSE),  # fork
        (59, (), REFUSE),  # execve
        (62, (1, 9), REFUSE),  # kill
        (101, (), REFUSE),  # ptrace
        (90, (), REFUSE),  # chmod
        (76, (), REFUSE),  # truncate
        (319, (), REFUSE),  # memfd_create
        (9999, (), REFUSE),
        (0x40000000, (), REFUSE),  # read in the x32 numbering
        (435, (), ABSENT),  # clone3
        (56, (0x3D0F00,), ALLOW),  # clone as pthread_create calls it
        (56, (17,), REFUSE),  # clone as fork calls it
        (56, (0x10000000 | 17,), REFUSE),  # clone into a user namespace
        (72, (0, 3), ALLOW),  # F_GETFL
        (72, (0, 8), REFUSE),  # F_SETOWN
        (16, (0, 0x5401), ALLOW),  # TCGETS
        (16, (0, 0x5412), REFUSE),  # TIOCSTI
        (302, (0,), ALLOW),  # prlimit64 of itself
        (302, (1,), REFUSE),
        (53, (1, 1), ALLOW),  # socketpair, stream
        (53, (1, 1 | 0o2000000), ALLOW),  # … close-on-exec
        (53, (1, 2), REFUSE),  # datagram
        (53, (16, 1), REFUSE),  # netlink
    ],
)
def test_harmless_calls_pass_and_others_are_refused(number, arguments, expected):
    assert verdict("x86_64", number, *arguments) == expected


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (322, (200,), ALLOW),  # execveat of the descriptor that Node lies open as
        (322, (5,), REFUSE),
        (59, (), REFUSE),  # execve
        (57, (), REFUSE),  # fork
        (56, (17,), REFUSE),  # clone as fork calls it
        (158, (0x1002,), ALLOW),  # arch_prctl, by which a program begins
        (62, (1, 9), REFUSE),  # kill
        (41, (2, 1), REFUSE),  # socket
    ],
)
def test_node_may_be_started_and_start_nothing(number, arguments, expected):
    assert verdict("x86_64", number, *arguments, profile=Profile.NODE) == expected


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (57, (), ALLOW),  # fork
        (59, (), ALLOW),  # execve
        (56, (17,), ALLOW),  # clone as fork calls it
        (56, (0x10000000 | 17,), REFUSE),  # … into a user namespace
        (56, (0x00020000 | 17,), REFUSE),  # … into a mount namespace
        (56, (0x40000000 | 17,), REFUSE),  # … into a network namespace
        (259, (0, 0, 0o010644), ALLOW),  # mkfifo
        (259, (0, 0, 0o060644), REFUSE),  # a block device
        (272, (0x10000000,), REFUSE),  # unshare
        (165, (), REFUSE),  # mount
        (41, (2, 1), REFUSE),  # socket
        (101, (), REFUSE),  # ptrace
        (105, (0,), REFUSE),  # setuid
        (161, (), REFUSE),  # chroot
        (322, (200,), REFUSE),  # execveat
    ],
)
def test_a_shell_may_start_programs_and_gain_nothing(number, arguments, expected):
    assert verdict("x86_64", number, *arguments, profile=Profile.SHELL) == expected


def test_another_architecture_is_killed():
    assert verdict("x86_64", 0, architecture=0x40000003) == KILL
    assert verdict("aarch64", 63, architecture=ARM) == ALLOW
    assert verdict("aarch64", 221, architecture=ARM) == REFUSE  # execve


@pytest.mark.parametrize(
    ("header", "column", "renamed"),
    [
        ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0, {}),
        ("/usr/include/asm-generic/unistd.h", 1, {"newfstatat": "fstatat"}),
    ],
)
def test_the_numbers_are_the_kernels(header, column, renamed):
    if not Path(header).exists():
        pytest.skip(f"no {header} on this machine")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    kernels = {name: int(number) for name, number in found}
    ours = {name: numbers[column] for name, numbers in EVERY.items()}

    assert ours == {name: kernels.get(renamed.get(name, name), -1) for name in ours}
