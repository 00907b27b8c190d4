"""What processes below another one use is found whoever their parent is by now."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from forge_evaluator.sandbox.inside.tree import Usage

BUSY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(50 << 20)\\nwhile True: pass'])"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_grandchildren_count_and_this_process_does_not():
    proc = os.open("/proc", os.O_RDONLY)
    child = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
    used = Usage()
    try:
        deadline = time.monotonic() + 30
        while not (used.excess(0.2, 1 << 40) and used.excess(60, 50 << 20)) and time.monotonic() < deadline:
            time.sleep(0.05)
            used.look(proc, os.getpid())
    finally:
        os.killpg(child.pid, 9)
        child.wait()
        os.close(proc)

    assert used.excess(0.2, 1 << 40) == "cpu"
    assert used.excess(60, 50 << 20) == "memory"
    assert used.excess(60, 1 << 40) is None
