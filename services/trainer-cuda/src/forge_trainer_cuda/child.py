"""`python -m forge_trainer_cuda.child`: one job in a fresh process, the only one that loads torch."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import JsonValue

from forge_common.queue.child import Report, child_main
from forge_trainer_cuda.jobs import Job, TrainJob


def work(request: dict[str, Any], report: Report) -> dict[str, JsonValue]:
    job = Job.validate_python(request)
    if not (isinstance(job, TrainJob) and job.rules.method == "qlora"):
        # peft loads it when it finds it: seconds of start-up for what only 4-bit training uses.
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    if isinstance(job, TrainJob):
        from forge_trainer_cuda.train import train

        return train(job, report).model_dump(mode="json")
    from forge_trainer_cuda.generate import greedy

    return greedy(job).model_dump(mode="json")


if __name__ == "__main__":
    child_main(work)
