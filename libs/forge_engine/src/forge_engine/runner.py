"""The child process that holds one model: llama.cpp's server on a loopback port. `python -m forge_engine.runner`.

One JSON line on stdin says what to load, one JSON line on stdout says where it listens. It ends when stdin does, so it
cannot outlive its parent; a file that makes llama.cpp abort ends this process and no other.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from xllamacpp import CommonParams

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class RunnerSpec:
    """`context` is per slot, in tokens."""

    model: str
    adapter: str | None
    context: int
    slots: int
    threads: int
    gpu_layers: int
    api_key: str
    parent: int

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def runner_environment() -> dict[str, str]:
    """The child's environment: waiting threads sleep instead of spinning, and nothing of ours that is secret."""
    inherited = {k: v for k, v in os.environ.items() if not k.endswith(("_KEY", "_TOKEN", "_PASSWORD"))}
    return inherited | {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def runner_command() -> list[str]:
    return [sys.executable, "-m", "forge_engine.runner"]


def failure_reason(stderr: str) -> str:
    """llama.cpp's own first complaint; the later ones only say that loading failed."""
    complaints = [line.split(" E ", 1)[1] for line in stderr.splitlines() if " E " in line]
    if complaints:
        return complaints[0].partition(": ")[2] or complaints[0]
    return stderr.strip().splitlines()[-1] if stderr.strip() else "no reason given"


def main() -> None:
    out = _own_stdout()
    spec = RunnerSpec(**json.loads(sys.stdin.buffer.readline()))
    _die_with(spec.parent)
    from xllamacpp import Server

    server = Server(_parameters(spec))
    out.write(json.dumps({"url": server.listening_address}) + "\n")
    out.flush()
    sys.stdin.buffer.read()
    # llama.cpp's orderly end waits for requests in flight, and nobody is there to read them.
    os._exit(0)


def _own_stdout() -> IO[str]:
    """Keep the pipe to the parent for our line alone: whatever llama.cpp prints goes to stderr."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


def _die_with(parent: int) -> None:
    """Linux kills us with our parent even while a model loads; elsewhere the end of stdin does it afterwards."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def _parameters(spec: RunnerSpec) -> CommonParams:
    from xllamacpp import CommonAdapterLoraInfo, CommonParams

    p = CommonParams()
    p.model.path = spec.model
    p.model_alias = {Path(spec.model).name}
    if spec.adapter:
        p.lora_adapters = [CommonAdapterLoraInfo(spec.adapter, 1.0)]
    # Every slot gets the whole context: a request is never cut because others run beside it.
    p.n_ctx, p.n_parallel, p.kv_unified = spec.context * spec.slots, spec.slots, False
    # Fitting would quietly shrink the context; what does not fit shall fail.
    p.fit_params = False
    p.n_gpu_layers = spec.gpu_layers
    for cpu in (p.cpuparams, p.cpuparams_batch):
        cpu.n_threads, cpu.poll = spec.threads, 0
    # The prompt cache in RAM may take 8 GiB by default, outside our memory account.
    p.cache_ram_mib, p.cache_idle_slots = 0, False
    p.warmup, p.ui, p.endpoint_slots = False, False, False
    p.hostnames, p.port, p.api_keys = ["127.0.0.1"], 0, [spec.api_key]
    p.offline = True
    return p


if __name__ == "__main__":
    main()
