"""`python -m forge_trainer_cuda.other`: a further card's process of a training. Started by `cards.others`, ends with it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading


def main() -> None:
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if order["job"]["rules"]["method"] != "qlora":
        # As the child does.
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    from forge_trainer_cuda.cards import join
    from forge_trainer_cuda.jobs import TrainJob
    from forge_trainer_cuda.memory import limit_memory
    from forge_trainer_cuda.train import lend

    job = TrainJob.model_validate(order["job"])
    join(job, order["rank"], order["port"])
    limit_memory(job.rules.max_memory_gb, job.device)
    lend(job)


def _die_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
