"""Heavy work in a fresh process."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from forge_common.errors import Cancelled
from forge_common.queue.child import ChildDied, ChildFailed, run_child
from forge_common.queue.stage import Beat

pytestmark = pytest.mark.integration

CHILD = """
import os, sys, time
from forge_common.contracts.stages import Progress
from forge_common.errors import Invalid
from forge_common.queue.child import child_main

def work(request, report):
    print("noise of a library")
    report.progress(Progress(step=1, of=2))
    match request["do"]:
        case "add":
            return {"sum": request["a"] + request["b"]}
        case "refuse":
            raise Invalid("not enough rows", fix="capture more")
        case "die":
            os.kill(os.getpid(), 9)
        case "hang":
            open(request["pid_file"], "w").write(str(os.getpid()))
            time.sleep(600)

if __name__ == "__main__":
    child_main(work)
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "child_under_test.py").write_text(CHILD)

    def start(beat=None, **request):
        beat = beat or Beat()
        return run_child(
            "child_under_test", request, beat=beat, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}
        )

    return start


def test_the_result_comes_back_whatever_the_child_prints(run):
    assert run(do="add", a=2, b=40) == {"sum": 42}


def test_progress_is_relayed(run):
    beat = Beat()

    run(beat, do="add", a=1, b=1)

    assert beat.take().step == 1


def test_a_refusal_keeps_its_reason_and_fix(run):
    with pytest.raises(ChildFailed, match="not enough rows") as failure:
        run(do="refuse")

    assert failure.value.fix == "capture more"


def test_a_killed_child_is_a_retryable_failure_that_names_the_signal(run):
    with pytest.raises(ChildDied, match="SIGKILL") as death:
        run(do="die")

    assert death.value.retryable


def test_cancelling_ends_the_child_within_seconds(run, tmp_path):
    beat, pid_file = Beat(), tmp_path / "pid"
    threading.Thread(target=lambda: (wait_for(pid_file.exists), beat.cancel()), daemon=True).start()
    started = time.monotonic()

    with pytest.raises(Cancelled):
        run(beat, do="hang", pid_file=str(pid_file))

    assert time.monotonic() - started < 20
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_the_child_dies_with_its_parent(tmp_path):
    (tmp_path / "child_under_test.py").write_text(CHILD)
    pid_file = tmp_path / "pid"
    script = (
        "import sys; from pathlib import Path; from forge_common.queue.child import run_child;"
        "from forge_common.queue.stage import Beat;"
        f"run_child('child_under_test', {{'do': 'hang', 'pid_file': {str(pid_file)!r}}}, beat=Beat(), cwd=Path({str(tmp_path)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(tmp_path)})
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    child = int(pid_file.read_text())

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def wait_for(condition, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")
