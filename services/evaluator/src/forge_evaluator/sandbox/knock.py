"""The doors of a fresh sandbox, tried from inside in every language that runs in it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from forge_evaluator.sandbox import talk
from forge_evaluator.sandbox.launch import Launch
from forge_evaluator.sandbox.model import (
    Answer,
    Execution,
    Job,
    Language,
    Limits,
    Reply,
    SandboxLost,
    ShellJob,
    ShellRun,
    SqlJob,
    SqlRun,
    Walls,
)
from forge_evaluator.sandbox.worker import Worker

# Runs as a candidate would; lists the doors that it found open.
_KNOCK = """
import os, socket
import colorsys  # not imported beforehand: the standard library must be readable from inside
def knock(secret, canary):
    open_doors = []
    def attempt(name, act):
        try:
            act()
        except OSError:
            return
        open_doors.append(name)
    attempt("network", lambda: socket.socket(socket.AF_INET).connect(("127.0.0.1", 9)))
    attempt("datagrams", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))
    attempt("password file", lambda: open("/etc/passwd").read())
    attempt("a file of the host", lambda: open(secret).read())
    attempt("writing", lambda: open("/usr/forge-knock", "w"))
    attempt("processes", lambda: os.fork() or os._exit(0))
    attempt("signals", lambda: os.kill(os.getppid(), 0) if os.getppid() else os.kill(-1, 0))
    return [canary, open_doors]
"""

# The same, by a script of Node's.
_KNOCK_IN_NODE = """
const fs = require('node:fs'), net = require('node:net'), { spawnSync } = require('node:child_process');
function attempt(act) { try { act(); return true; } catch { return false; } }
function connects() {
  return new Promise((told) => {
    try { net.connect(9, '127.0.0.1').on('error', (e) => told(e.code === 'ECONNREFUSED')).on('connect', () => told(true)); }
    catch { told(false); }
  });
}
async function knock(secret, canary) {
  const doors = [];
  if (await connects()) doors.push('network');
  if (attempt(() => fs.readFileSync('/etc/passwd'))) doors.push('password file');
  if (attempt(() => fs.readFileSync(secret))) doors.push('a file of the host');
  if (attempt(() => fs.writeFileSync('/usr/forge-knock', ''))) doors.push('writing');
  if (!spawnSync('/bin/true').error) doors.push('processes');
  if (attempt(() => process.kill(process.ppid || -1, 0))) doors.push('signals');
  return [canary, doors, process.versions.node];
}
"""

_KNOCK_IN_SHELL = """
exec 2>/dev/null
(: < /etc/passwd) && echo 'password file'
(: < "$1") && echo 'a file of the host'
(: > /usr/forge-knock) && echo writing
(: < /dev/tcp/127.0.0.1/9) && echo network
mkdir d && mount -t tmpfs none d && echo mounts
echo "${BASH_VERSION%%(*}" | sort | sed 's/^/bash /'
"""

# A script's processes must be countable and its folder its own; only namespaces give both.
_SHELL_WALLS = (Walls.BUBBLEWRAP, Walls.NAMESPACES)


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs inside. Empty: it does not."""

    python: str
    node: str
    sqlite: str
    bash: str


def knock(launch: Launch) -> Versions:
    """Start one and try its doors from inside, in every language. Raises SandboxLost if one is open."""
    worker = Worker(launch, Limits())
    try:
        with tempfile.NamedTemporaryFile() as secret:
            Path(secret.name).chmod(0o644)
            job = Job(_KNOCK, "knock", ((secret.name, "canary"),))
            _expect(["canary", []], _only(talk.run(worker, job)))
            return Versions(
                worker.python,
                _knock_in_node(worker, secret.name) if launch.node else "",
                _sqlite(worker),
                _knock_in_shell(worker, secret.name) if launch.walls in _SHELL_WALLS else "",
            )
    finally:
        worker.close()


def _only(execution: Execution) -> Reply:
    reply = execution.replies[0] if execution.replies else execution.loaded
    if reply is None or reply.kind is not Answer.VALUE:
        raise SandboxLost(f"the canary failed: {reply.text if reply else execution.detail}")
    return reply


def _expect(expected: object, reply: Reply) -> None:
    if reply.value != expected:
        raise SandboxLost(f"a door is open from inside: {str(reply.value)[:200]}")


def _knock_in_node(worker: Worker, secret: str) -> str:
    """Its version, or nothing where it does not start."""
    job = Job(_KNOCK_IN_NODE, "knock", ((secret, "canary"),), Language.JAVASCRIPT)
    execution = talk.run(worker, job)
    if not execution.replies:
        return ""
    value = _only(execution).value
    version = str(value[-1]) if isinstance(value, list) else ""
    _expect(["canary", [], version], execution.replies[0])
    return version


def _sqlite(worker: Worker) -> str:
    execution = talk.run_sql(worker, SqlJob("", "SELECT sqlite_version()", (SqlRun(),)))
    value = execution.replies[0].value if execution.replies else None
    return str(value[0][0]) if isinstance(value, list) and isinstance(value[0], list) else ""


def _knock_in_shell(worker: Worker, secret: str) -> str:
    execution = talk.run_shell(worker, ShellJob(_KNOCK_IN_SHELL, (ShellRun(args=(secret,)),)))
    if not execution.replies or execution.replies[0].exit_status:
        return ""
    told = execution.replies[0].stdout.strip()
    if not told.startswith("bash ") or "\n" in told:
        raise SandboxLost(f"a door is open to shell scripts: {told[:200]!r}")
    return told.removeprefix("bash ")
