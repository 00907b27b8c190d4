"""The sandbox as a whole: refused when nothing holds, gone when its owner is, right under load."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

import psutil
import pytest

from forge_evaluator.sandbox import End, Job, Language, Limits, NoSandbox, Pool, Walls, probe, talk, tier
from forge_evaluator.sandbox.model import SandboxLost

pytestmark = pytest.mark.integration

GOOD = Job("def f(n):\n    return n + 1\n", "f", ((1,),))

OWNER = """
import psutil, sys, threading, time
from forge_evaluator.sandbox import *
pool = Pool(probe((Walls(sys.argv[1]),)), workers=1, limits=Limits(cpu_s=60, wall_s=60))
pool.run(Job("def f():\\n    pass", "f", ((),)))
task = {
    "python": lambda: pool.run(Job("def f():\\n    while True: pass", "f", ((),))),
    "node": lambda: pool.run(Job("for (;;);", "f", ((),), Language.JAVASCRIPT)),
    "shell": lambda: pool.run_shell(ShellJob("setsid sleep 600 & sleep 600", (ShellRun(),))),
    "tests": lambda: pool.run_harness(HarnessJob("def f(): pass", "f", "while True: pass")),
}[sys.argv[2]]
threading.Thread(target=task, daemon=True).start()
while len(psutil.Process().children(recursive=True)) < 2: time.sleep(0.05)
time.sleep(1); print("ready", flush=True); time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["python", "node", "shell", "tests"])
def test_a_killed_owner_leaves_no_process(tier, kind):
    if not {"node": tier.node, "shell": tier.bash}.get(kind, "always"):
        pytest.skip(f"no {kind} behind these walls: {tier.description}")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, tier.launch.walls.value, kind], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout.readline() == "ready\n"
    inside = psutil.Process(owner.pid).children(recursive=True)
    assert len(inside) >= 2  # the zygote and its task, at least

    owner.kill()
    owner.wait()

    _, alive = psutil.wait_procs(inside, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_killed_sandbox_is_replaced_and_the_job_is_done(tier):
    with Pool(tier, workers=1) as pool:
        assert pool.run(GOOD).replies[0].value == 2
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # the first one takes the others along
                process.kill()

        assert pool.run(GOOD).replies[0].value == 2


def test_hostile_neighbours_flip_no_verdict(tier):
    hostile = Job("def f(n):\n    x = []\n    while True: x.append(bytearray(1 << 20))\n", "f", ((1,),))
    with Pool(tier, workers=2) as pool:
        stop = threading.Event()

        def disturb():
            while not stop.is_set():
                pool.run(hostile)

        neighbour = threading.Thread(target=disturb)
        neighbour.start()
        values = [pool.run(GOOD).replies[0].value for _ in range(20)]
        stop.set()
        neighbour.join()

    assert values == [2] * 20


MANY_THREADS = """
import threading
def f():
    threading.stack_size(65536)
    try:
        for _ in range(1000):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    except RuntimeError:
        pass
    threading.Event().wait()
"""


def test_threads_without_end_keep_no_neighbour_from_starting_its_own(tier):
    if not tier.node:
        pytest.skip(f"no Node behind these walls: {tier.description}")
    with Pool(tier, workers=2, limits=Limits(wall_s=12)) as pool:
        neighbour = threading.Thread(target=lambda: pool.run(Job(MANY_THREADS, "f", ((),))))
        neighbour.start()
        time.sleep(
            1
        )  # long enough for its threads to be there, and they stay for much longer than Node needs, on any machine

        execution = pool.run(Job("const f = () => 1;", "f", ((),), Language.JAVASCRIPT))

        assert neighbour.is_alive()
        neighbour.join()
    assert [reply.value for reply in execution.replies] == [1], execution


def test_a_job_that_always_takes_the_sandbox_down_is_blamed_once_a_harmless_one_works(tier, monkeypatch):
    with Pool(tier, workers=1) as pool:
        run = talk.run

        def fragile(worker, job):
            if job.entry_point == "breaker":
                raise SandboxLost("gone")
            return run(worker, job)

        monkeypatch.setattr("forge_evaluator.sandbox.talk.run", fragile)

        assert pool.run(Job("", "breaker", ((),))).end is End.DIED


def test_without_walls_it_refuses_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr(tier, "_launches", lambda: iter(()))

    with pytest.raises(NoSandbox, match="no model's code is run") as caught:
        probe()

    assert "bubblewrap" in caught.value.fix


def test_an_open_door_is_found(monkeypatch):
    if sys.platform != "linux":
        pytest.skip("the filter is Linux's")
    allow_everything = (0x06).to_bytes(2, "little") + b"\0\0" + (0x7FFF0000).to_bytes(4, "little")
    monkeypatch.setattr("forge_evaluator.sandbox.seccomp.build", lambda **_: allow_everything)

    with pytest.raises(NoSandbox, match="a door is open from inside"):
        probe((Walls.LANDLOCK,))


def test_without_bubblewrap_the_next_walls_are_taken(monkeypatch):
    monkeypatch.setattr(tier.shutil, "which", lambda _: None)

    started = time.monotonic()
    found = probe()

    assert found.letter in {"A'", "B", "C"}
    assert found.letter in found.description
    assert time.monotonic() - started < 30
