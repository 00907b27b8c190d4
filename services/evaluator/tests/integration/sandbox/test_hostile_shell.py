"""Attacks in shell: each ends as it should; nothing that a script starts or writes is there for the next one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from forge_evaluator.sandbox import End, Limits, Pool, ShellJob, ShellRun

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Hostile:
    """`ends`: how it may end. `never`: what it must not have printed."""

    name: str
    script: str
    ends: tuple[End, ...] = (End.FINISHED,)
    never: str = "OPEN"


ALL = (
    Hostile("password file", "cat /etc/passwd && echo OPEN"),
    Hostile("environment of the judge", 'test -n "$FORGE_KEY" && echo OPEN'),
    Hostile("environment of all processes", "cat /proc/*/environ | tr '\\0' '\\n' | grep FORGE_KEY && echo OPEN"),
    Hostile("processes that are not its own", "ls /proc | grep -Ev '^[0-9]$|^[0-9][0-9]$' | grep -E '^[0-9]+$' && echo OPEN"),
    Hostile("memory of the first process", "head -c 1 /proc/1/mem && echo OPEN"),
    Hostile("descriptors of the first process", "echo '{\"value\":1}' > /proc/1/fd/3 && echo OPEN"),
    Hostile("writes its limits", "echo -17 > /proc/1/oom_adj && echo OPEN"),
    Hostile("TCP to this machine", "exec 5<> /dev/tcp/127.0.0.1/80 && echo OPEN"),
    Hostile("TCP by another program", "perl -MIO::Socket::INET -e 'print \"OPEN\" if IO::Socket::INET->new(\"127.0.0.1:80\") || $! =~ /refused/'"),
    Hostile("writes to the system", "for d in / /usr /etc /dev /root /opt; do touch $d/forge && echo OPEN; done"),
    Hostile("mounts", "mkdir m && mount -t tmpfs none m && echo OPEN"),
    Hostile("new namespaces", "unshare -r true && echo OPEN"),
    Hostile("becomes root", "su -c true root && echo OPEN; test $(id -u) = 0 && echo OPEN"),
    Hostile("makes a device", "mknod d b 8 0 && echo OPEN"),
    Hostile("a file that runs as its owner", "cp /bin/true t && chmod u+s t && test -u t && ./t && grep -q nosuid /proc/self/mounts || echo OPEN"),
    Hostile("raises its limits", "ulimit -u 4000 && echo OPEN; ulimit -t 4000 && echo OPEN"),
    Hostile("kills everything", "kill -9 -1; kill -9 1; echo alive"),
    Hostile("kills its parent", "kill -9 $PPID; kill -STOP $PPID; echo alive"),
    Hostile("leaves a daemon", "setsid sh -c 'sleep 600; echo OPEN' > /dev/null 2>&1 & echo gone"),
    Hostile("leaves a daemon that holds the output", "sleep 600 &\necho gone"),
    Hostile("stops itself", "kill -STOP $$", (End.WALL,)),
    Hostile("busy loop", "while :; do :; done", (End.CPU,)),
    Hostile("many busy loops", "for i in 1 2 3 4 5 6; do (while :; do :; done) & done; wait", (End.CPU,)),
    Hostile("short busy processes without end", "while :; do (i=0; while ((i++ < 3000)); do :; done); done", (End.CPU,)),
    Hostile("sleeps", "sleep 600", (End.WALL,)),
    Hostile("fork bomb", "f() { f | f & }; f; sleep 600", (End.WALL, End.CPU, End.FINISHED)),
    Hostile("endless output", "yes", (End.CPU, End.WALL)),
    Hostile("endless errors", "yes >&2", (End.CPU, End.WALL)),
    Hostile("fills the disk", "for i in $(seq 20); do head -c 4000000 /dev/zero > f$i || break; done"),
    Hostile("one huge file", "head -c 100000000 /dev/zero > f"),
    Hostile("fills the inodes", "for i in $(seq 500); do : > f$i; done"),
    Hostile("memory of one process", "x=$(head -c 900000000 /dev/zero | tr '\\0' a); echo ${#x}", (End.FINISHED, End.CPU, End.KILLED)),
    Hostile("memory of many processes", "for i in 1 2 3 4 5 6 7 8; do (x=$(head -c 150000000 /dev/zero | tr '\\0' a); sleep 9) & done; wait", (End.KILLED, End.CPU)),
    Hostile("a folder without end", "while mkdir d && cd d; do :; done", (End.FINISHED, End.CPU, End.WALL)),
    Hostile("links out of its folder", "ln -s /usr/bin/env e; ln -s / r; ln -s loop loop"),
    Hostile("files that cannot be read", "echo x > f; chmod 0 f; mkdir d; echo y > d/g; chmod 0 d"),
    Hostile("names that are no text", "touch $'\\xff\\xfe' $'a\\nb'"),
    Hostile("a pipe in the place of a file", "mkfifo p"),
)  # fmt: skip
LOOK = 'ls -A . /tmp; cd /proc; for p in [0-9]*; do echo "$p"; done; ls /dev/shm 2>/dev/null'


@pytest.fixture(scope="module")
def shell(tier):
    if not tier.bash:
        pytest.skip(f"no shell behind these walls: {tier.description}")
    with Pool(tier, workers=1, limits=Limits(cpu_s=1, wall_s=12)) as pool:
        yield pool


@pytest.fixture(scope="module")
def impatient(tier):
    """For scripts that nothing but the wall clock ends."""
    if not tier.bash:
        pytest.skip(f"no shell behind these walls: {tier.description}")
    with Pool(tier, workers=1, limits=Limits(cpu_s=1, wall_s=2)) as pool:
        yield pool


def run(pool, script, **case):
    return pool.run_shell(ShellJob(script, (ShellRun(**case),)))


@pytest.mark.parametrize("hostile", ALL, ids=lambda case: case.name)
def test_a_hostile_script_ends_as_it_should_and_leaves_nothing_behind(shell, impatient, hostile, monkeypatch):
    monkeypatch.setenv("FORGE_KEY", "secret")
    pool = impatient if hostile.ends[0] is End.WALL else shell

    execution = run(pool, hostile.script)

    assert execution.end in hostile.ends, execution
    assert all(hostile.never not in reply.stdout for reply in execution.replies)
    (after,) = run(shell, LOOK).replies
    # No process but the first one and the script itself.
    assert after.stdout.split() == [".:", "/tmp:", "answer.sh", "work", "1", "2"]


def test_a_script_sees_its_arguments_input_and_files_and_leaves_its_own(shell):
    script = """
read line; echo "$1 $# $line"
tr a-z A-Z < in/a.txt | tee out.txt
sed -i 's/x/y/' in/b.txt; rm in/c.txt; mkdir -p new/er; printf 'é' > new/er/f
comm -12 <(sort in/a.txt) <(printf 'one\\n'); [[ -f out.txt ]] || exit 9
exit 3"""
    files = {"in/a.txt": "one\n", "in/b.txt": "x", "in/c.txt": "c"}

    (reply,) = run(shell, script, args=("a b", "*"), stdin="typed\n", files=files).replies

    assert (reply.exit_status, reply.stdout) == (3, "a b 2 typed\nONE\none\n")
    assert reply.files == {"in/a.txt": "one\n", "in/b.txt": "y", "new/er/f": "é", "out.txt": "ONE\n"}
    assert not reply.is_stdout_truncated
    assert not reply.are_files_truncated


def test_cases_share_nothing(shell):
    job = ShellJob("ls; touch mark; nohup sleep 99 > /dev/null 2>&1 &", (ShellRun(), ShellRun()))

    execution = shell.run_shell(job)

    assert [reply.stdout for reply in execution.replies] == ["", ""]


def test_what_is_cut_off_is_marked(shell):
    (loud,) = run(shell, "head -c 3000000 /dev/zero | tr '\\0' a").replies
    (messy,) = run(shell, "for i in 1 2 3; do head -c 600000 /dev/zero > f$i; done").replies

    assert (len(loud.stdout), loud.is_stdout_truncated, loud.exit_status) == (1_000_000, True, 0)
    assert messy.are_files_truncated


def test_the_first_case_that_does_not_end_is_the_last(shell):
    execution = shell.run_shell(
        ShellJob('[ "$1" = 2 ] && while :; do :; done; echo $1', tuple(ShellRun((n,)) for n in "123"))
    )

    assert [reply.stdout for reply in execution.replies] == ["1\n"]
    assert execution.end is End.CPU
