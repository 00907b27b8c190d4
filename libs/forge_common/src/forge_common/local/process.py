"""Starting a server process and waiting until it answers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from forge_common.errors import ForgeError
from forge_common.local.account import Account


class ServerDidNotStart(ForgeError):
    """A server of ours ended, or did not answer in time."""


# Below what Linux (32768) and macOS (49152) give to outgoing connections and to whoever asks for any port: a server that
# is started a little later, or again, finds its port as it was left.
_PORTS = range(20_000, 32_768)


def free_port() -> int:
    """A TCP port on loopback that nobody has, and that nobody else is told of for the next half minute at least."""
    chance = random.SystemRandom()
    for _ in _PORTS:
        with contextlib.suppress(OSError):
            return _set_aside(chance.choice(_PORTS))
    raise ServerDidNotStart("no port is free on this machine", fix="end some of its servers")


def _set_aside(port: int) -> int:
    """Leave the port in TIME_WAIT: only who allows its address to be used again, as servers do, can bind it meanwhile.

    Raises OSError when it is taken, or was set aside already.
    """
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.listen(1)
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            client.recv(1)
    return port


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    account: Account | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, its output appended to `log`."""
    drop = (account or Account()).popen
    with log.open("ab") as output:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd or "/",
            env=None if env is None else dict(env),
            start_new_session=True,
            **drop,
        )


def wait_until(
    answers: Callable[[], bool],
    process: subprocess.Popen[bytes],
    *,
    name: str,
    log: Path,
    timeout_s: float = 30.0,
) -> None:
    """Return once `answers()`.

    Raises ServerDidNotStart with the end of the log when the process ends, or is ended because time is up.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        # Asked first: what answers on the port of a process that ended is somebody else.
        if process.poll() is not None:
            raise ServerDidNotStart(
                f"{name} ended with status {process.returncode}: {tail(log)}", fix=f"see {log}"
            )
        if answers():
            return
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    raise ServerDidNotStart(f"{name} did not answer within {timeout_s:.0f} s: {tail(log)}", fix=f"see {log}")


def tail(log: Path, lines: int = 3) -> str:
    """The last different lines of a log, on one line."""
    try:
        last = log.read_text(errors="replace").strip().splitlines()[-20:]
        return " | ".join(list(dict.fromkeys(last))[-lines:])
    except OSError:
        return "(no log)"
