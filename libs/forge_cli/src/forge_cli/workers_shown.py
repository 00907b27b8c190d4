"""The machines that train, as `forge status` lists them. Says what the registry knows, and nothing where it knows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from forge_cli.console import escape
from forge_common.contracts.workers import WorkerJob, WorkerView

COLUMNS = ("machine", "state", "device", "memory", "speed>", "doing")
TRAINING = "train."


def rows(workers: Sequence[WorkerView], now: datetime) -> list[list[str]]:
    """Those with a training queue, the living first."""
    trainers = [worker for worker in workers if any(queue.startswith(TRAINING) for queue in worker.queues)]
    return [_row(worker, now) for worker in sorted(trainers, key=lambda w: (not w.is_alive, w.name))]


def _row(worker: WorkerView, now: datetime) -> list[str]:
    age = ago((now - worker.last_seen).total_seconds())
    return [
        escape(worker.name),
        "[green]up[/]" if worker.is_alive else f"[red]silent[/] {age}",
        escape(worker.device),
        memory(worker.memory_used_bytes if worker.is_alive else None, worker.memory_bytes),
        f"{worker.tokens_per_s:,.0f} tok/s" if worker.tokens_per_s else "",
        _doing(worker.job) if worker.job else ("[dim]waiting[/]" if worker.is_alive else ""),
    ]


def _doing(job: WorkerJob) -> str:
    parts = [f"{job.domain}: {job.stage}"]
    if job.step is not None and job.of:
        parts.append(f"{job.step}/{job.of} ({job.step / job.of:.0%})")
    elif job.message:
        parts.append(job.message)
    if job.eta_s:
        parts.append(f"{ago(job.eta_s)} left")
    return escape(" · ".join([*parts, job.run_id]))


def memory(used: int | None, total: int) -> str:
    """`3.1 of 8.0 GB`, in units of 2^30 bytes as cards are sold in."""
    if not total:
        return ""
    return f"{total / 2**30:.1f} GB" if used is None else f"{used / 2**30:.1f} of {total / 2**30:.1f} GB"


def ago(seconds: float) -> str:
    """A length of time in one unit."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
