"""`python -m forge_trainer_cuda.other`: a further card's process of a training. Started by `cards.others`, ends with it."""

from __future__ import annotations

import os
import signal
import sys
import threading

from forge_trainer_cuda.jobs import Lending


def main() -> None:
    lending = Lending.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    job = lending.job
    if job.rules.method != "qlora":
        # As the child does.
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    from forge_trainer_cuda import dpo, train
    from forge_trainer_cuda.cards import join
    from forge_trainer_cuda.memory import limit_memory

    join(job, lending.rank, lending.port)
    limit_memory(job.rules.max_memory_gb, job.device)
    if lending.stage == "dpo":
        dpo.lend(job, lending.longest_pair)
    else:
        train.lend(job)


def _die_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
