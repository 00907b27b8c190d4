"""Our trainers as their child processes run them, with a clock on their steps.

    python entrants.py cuda|mlx JOB.json

Prints one JSON line. What is measured is the trainer's own `train`, evaluation and checkpoint at its end included.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from forge_common.contracts.stages import Progress


class Clock:
    """Hears of every step once, before what is judged after it; `check` is never a cancel."""

    def __init__(self) -> None:
        self._step = 0
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def progress(self, progress: Progress) -> None:
        if progress.step and progress.step > self._step:
            self._step = progress.step
            self.cpu.append(time.process_time())
            self.wall.append(time.perf_counter())

    def check(self) -> None:
        pass


def main() -> None:
    name, job = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    clock = Clock()
    outcome = _cuda(job, clock) if name == "cuda" else _mlx(job, clock)
    told = {
        "cpu": clock.cpu,
        "wall": clock.wall,
        "peak": outcome.peak_memory_bytes,
        "adapter": outcome.adapter,
    }
    print(json.dumps(told))  # noqa: T201  its answer


def _cuda(job: dict[str, Any], clock: Clock) -> Any:
    if job["rules"]["method"] != "qlora":
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  as the child does
    from forge_trainer_cuda.jobs import TrainJob
    from forge_trainer_cuda.train import train

    return train(TrainJob.model_validate(job), clock)


def _mlx(job: dict[str, Any], clock: Clock) -> Any:
    from forge_trainer_mlx.child import start_mlx
    from forge_trainer_mlx.jobs import TrainJob

    start_mlx(job["memory_share"])
    from forge_trainer_mlx.train import train

    return train(TrainJob.model_validate(job), clock)


if __name__ == "__main__":
    main()
