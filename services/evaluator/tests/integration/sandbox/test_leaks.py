"""A thousand hostile tasks in a row, in every language, and nothing of them is left."""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys
import time
from pathlib import Path

import psutil
import pytest

from forge_evaluator.sandbox import (
    End,
    HarnessJob,
    Job,
    Language,
    Limits,
    Pool,
    ShellJob,
    ShellRun,
    SqlJob,
    SqlRun,
    users,
)

pytestmark = pytest.mark.integration

PYTHON = (
    "import os\nos._exit(0)",
    "import os\nos.abort()",
    "import ctypes\nctypes.string_at(0)",
    "import os\ndef f():\n    while True: os.fork()",
    "import os\ndef f():\n    while True: os.dup(0)",
    "def f():\n    for i in range(300): open(f'/tmp/{i}', 'w').write('x')",
    "import os\ndef f():\n    os.write(3, b'\\xff' * 64)",
    "import threading, time\ndef f():\n    for _ in range(40): threading.Thread(target=time.sleep, args=(9,)).start()",
    "import os, signal\ndef f():\n    for p in (os.getppid(), -1): os.kill(p, signal.SIGKILL)",
    "import socket\ndef f():\n    socket.socket().connect(('127.0.0.1', 80))",
    "def f():\n    x = []\n    x.append(x)\n    return x",
    "import mmap, tempfile\ndef f():\n    return [tempfile.TemporaryFile().fileno() for _ in range(50)]",
    "def f():\n    return f()",
    "syntax error",
)
SHELL = (
    "sleep 99 & setsid sleep 99 & kill -9 $PPID",
    "for i in $(seq 20); do sleep 9 & done; mkfifo p",
    "yes | head -c 2000000",
)
TASKS = 1_000


def hostile_tasks(pool):
    """Endless: mostly Python, of which a zygote makes two hundred a second."""
    python = itertools.cycle([Job(code, "f", ((),)) for code in PYTHON])
    for number in itertools.count():
        if number % 50 == 10 and pool.tier.node:
            yield lambda: pool.run(Job("process.abort()", "f", ((),), Language.JAVASCRIPT))
        elif number % 25 == 5 and pool.tier.bash:
            script = SHELL[number // 25 % len(SHELL)]
            yield lambda script=script: pool.run_shell(ShellJob(script, (ShellRun(files={"a": "b"}),)))
        elif number % 25 == 7 and pool.tier.sqlite:
            yield lambda: pool.run_sql(SqlJob("", "ATTACH '/tmp/x' AS x; CREATE TABLE x.t (a)", (SqlRun(),)))
        elif number % 25 == 9:
            yield lambda: pool.run_harness(HarnessJob("import os\ndef f():\n    os._exit(0)", "f", "f()"))
        else:
            job = next(python)
            yield lambda job=job: pool.run(job)


def test_a_thousand_hostile_tasks_leak_no_process_mount_file_or_descriptor(tier):
    good = Job("def f(n):\n    return n + 1\n", "f", ((1,),))
    with Pool(tier, workers=1, limits=Limits(cpu_s=1, wall_s=10)) as pool:
        pool.run_harness(
            HarnessJob("def f(): pass", "f", "f()")
        )  # both sandboxes are up before anything is counted
        before = traces(pool)

        ends = [task().end for task in itertools.islice(hostile_tasks(pool), TASKS)]

        assert pool.run(good).replies[0].value == 2
        after = traces(pool)
    assert {name: after[name] - before[name] for name in before} == dict.fromkeys(before, 0)
    assert {End.DIED, End.FINISHED, End.GARBLED} <= set(ends)


def traces(pool):
    pool.run_harness(
        HarnessJob("def f(): pass", "f", "f()")
    )  # both sandboxes are up before anything is counted
    # What earlier tests of this process left open would be closed at any moment in between.
    gc.collect()
    # What a namespace held is given back a little after its end, so the lowest of several counts is the one at rest.
    looks = [look(pool) for _ in range(10) if time.sleep(0.1) is None]
    return {name: min(each[name] for each in looks) for name in looks[0]}


def look(pool):
    me = psutil.Process()
    inside = me.children(recursive=True)
    return {
        "processes": len(inside),
        "descriptors": len(list(Path("/dev/fd").iterdir())),
        "descriptors inside": sum(descriptors(process) for process in inside),
        "mounts": mounts(me.pid),
        "mounts inside": sum(mounts(process.pid) for process in inside),
        "files": len(files_of_sandboxes()),
    }


def descriptors(process):
    with contextlib.suppress(psutil.Error):
        return process.num_fds()
    return 0


def mounts(pid):
    if sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError):
        return len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())
    return 0


def files_of_sandboxes():
    """Files of the sandboxes' own users; without one, others' files in the shared folder could not be told apart."""
    return [path for path in Path("/tmp").iterdir() if owner(path) in users.OWN]


def owner(path):
    with contextlib.suppress(FileNotFoundError):  # another program's, which is gone by now
        return path.lstat().st_uid
    return None
