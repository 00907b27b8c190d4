"""kill -9 of what runs, while the demo's run goes on: it must end with the same promoted result."""

import contextlib
import os
import signal
import time

import psutil
import pytest

from forge_cli.stack.state import running
from forge_common.contracts.runs import RunState

pytestmark = pytest.mark.e2e

# A killed worker's stage comes back after its lease; a test need not wait the usual half minute.
QUICK_LEASES = {"FORGE_REGISTRY_LEASE_S": "5", "FORGE_REGISTRY_RING_AGAIN_S": "5"}

# Who is killed while the run is in which state, workers while they work; `x/child` is a process that x started.
# The supervisor comes last: after it, nobody brings anything back.
PLAN = {
    "preparing": ["curator"],
    "training": ["redis", "registry", "trainer-cuda", "trainer-cuda/child", "gateway"],
    "exporting": ["postgres"],
    "deploying": ["deployer", "engine"],
    "evaluating": ["evaluator", "engine/child", "engine", "collector", "supervisor"],
}


def kill(forge, name):
    """kill -9, as soon as there is something to kill."""
    part, _, child = name.partition("/")
    process = wait_for(lambda: children_of(forge, part) if child else part_of(forge, part))
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def part_of(forge, name):
    state = forge.state()
    if name == "supervisor":
        return psutil.Process(state.supervisor)
    process = state.processes.get(name)
    return running(process) if process and process.ready else None


def children_of(forge, name):
    parent = part_of(forge, name)
    return next(iter(parent.children()), None) if parent else None


def wait_for(condition, timeout_s=300.0, every_s=0.05):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every_s)
    raise AssertionError("waited in vain")


def current_run(forge):
    """The demo's run as the registry has it now, or None while the registry is away."""
    try:
        runs = [run for run in forge.registry().runs("nano") if run.kind == "train"]
    except Exception:
        return None
    return runs[0] if runs else None


def result_of(forge):
    ended = wait_for(lambda: (r := current_run(forge)) and r.state.is_final and r, timeout_s=900, every_s=0.5)
    run = forge.registry().run(ended.id)
    return run, next(g for g in run.scorecard.groups if g.group == "coding") if run.scorecard else None


def test_every_process_may_be_killed_once_during_the_run(forge):
    forge.env |= QUICK_LEASES
    demo = forge.demo()
    for state, names in PLAN.items():
        wait_for(lambda state=state: (r := current_run(forge)) and (r.state == state or r.state.is_final))
        for name in names:
            kill(forge, name)
            time.sleep(0.5)

    output, _ = demo.communicate(timeout=1500)

    run, coding = result_of(forge)
    assert demo.returncode == 0, output + forge.logs()
    assert run.state is RunState.PROMOTED, run.error
    assert coding.candidate.mean > 80


def test_the_stack_killed_whole_finishes_its_run_after_forge_up(forge):
    forge.env |= QUICK_LEASES
    demo = forge.demo()
    wait_for(lambda: (r := current_run(forge)) and r.state is RunState.TRAINING)
    demo.kill()
    demo.communicate()
    for name in ("supervisor", "postgres", "redis", "registry", "trainer-cuda"):
        kill(forge, name)

    assert forge.json("up")["started"] is True

    run, coding = result_of(forge)
    assert run.state is RunState.PROMOTED, run.error
    assert coding.candidate.mean > 80


def test_an_orphaned_stack_is_taken_down_without_manual_cleanup(forge):
    forge.run("up")
    state = forge.state()
    os.kill(state.supervisor, signal.SIGKILL)

    assert forge.json("down")["stopped"] is True

    assert not [name for name, process in state.processes.items() if running(process)]
    assert forge.json("down")["stopped"] is False
