"""`python -m forge_trainer_mlx.child`: one job in a fresh process, the only one that loads mlx. Never loads torch."""

from __future__ import annotations

import os
import sys
from typing import Any

from pydantic import JsonValue

from forge_common.errors import ForgeError
from forge_common.queue.child import Report, child_main
from forge_trainer_mlx.jobs import Device, GreedyJob, Job, TrainJob


class MlxUnusable(ForgeError):
    """mlx is installed, but does not load on this machine."""


def work(request: dict[str, Any], report: Report) -> dict[str, JsonValue]:
    job = Job.validate_python(request)
    label = start_mlx(job.memory_share)
    match job:
        case TrainJob():
            from forge_trainer_mlx.train import train

            return train(job, report).model_dump(mode="json")
        case GreedyJob():
            from forge_trainer_mlx.reference import greedy

            return greedy(job).model_dump(mode="json")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device(label=label, memory_bytes=memory).model_dump(mode="json")


def start_mlx(memory_share: float) -> str:
    """Load mlx and say in words what it runs on. Raises MlxUnusable."""
    # mlx-lm imports transformers, which would load torch wherever it is installed: seconds and memory for nothing.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    try:
        from forge_trainer_mlx.model import prepare_device
    except ImportError as error:
        raise MlxUnusable(
            f"mlx does not load on this machine: {error}",
            fix="mlx needs Apple silicon, or Linux with glibc 2.35 or newer; elsewhere use `forge worker cpu`",
        ) from error
    return prepare_device(memory_share)


if __name__ == "__main__":
    child_main(work)
