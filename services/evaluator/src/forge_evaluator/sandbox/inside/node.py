"""Node in a task: the walled-in process becomes it, once; what runs in it is `node.js` beside this file."""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Any

from forge_evaluator.sandbox.inside import linux

_DESCRIPTOR = 200


def keep(descriptor: int) -> int:
    """Move the open program to the one number that the filter lets a task start from. -1 stays -1."""
    if descriptor < 0:
        return -1
    os.dup2(descriptor, _DESCRIPTOR, inheritable=False)
    os.close(descriptor)
    return _DESCRIPTOR


def become(config: dict[str, Any]) -> None:
    """Raises OSError where Node cannot be started."""
    heap = config["memory_bytes"] * 3 // 4 // (1 << 20)
    options = ["--no-warnings", "--v8-pool-size=1", f"--max-old-space-size={heap}", "--input-type=commonjs"]
    arguments = ["node", *options, "-e", config["node_source"]]
    environment = {"UV_THREADPOOL_SIZE": "1", "OPENSSL_CONF": "/dev/null", "TZ": "UTC"}
    fcntl.fcntl(3, fcntl.F_SETFD, 0)
    if sys.platform.startswith("linux"):
        linux.execute_open(config["node"], arguments, environment)
    else:
        os.execve(config["node_path"], arguments, environment)  # noqa: S606 (there is no shell)
