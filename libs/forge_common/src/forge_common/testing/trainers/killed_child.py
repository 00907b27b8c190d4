"""`python -m forge_common.testing.trainers.killed_child`: a trainer's child that kills itself with -9 at the nth thing it does to a file.

Python tells of what is done to files before it is done, so that a kill falls before, within or after a checkpoint's
writing, at every instant of it that there is.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

CHILD, FOLDER, KILL_AT = "FORGE_TEST_CHILD", "FORGE_TEST_FOLDER", "FORGE_TEST_KILL_AT"
COUNTED = frozenset(
    {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.copytree", "shutil.rmtree"}
)


def main() -> None:
    """Kill before the event of that number in the folder; 0 only counts them, in a file beside the folder."""
    folder, kill_at = os.environ[FOLDER], int(os.environ[KILL_AT])
    done = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event in COUNTED and any(str(argument).startswith(folder) for argument in arguments):
            done += 1
            if done == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if not kill_at:
                os.write(counter, b".")

    counter = os.open(f"{folder}.events", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.addaudithook(count)
    runpy.run_module(os.environ[CHILD], run_name="__main__")


if __name__ == "__main__":
    main()
