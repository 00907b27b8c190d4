"""One measured training of ours, in a process of its own: `python measure.py TASK.json`. Prints one JSON line.

The trainer's own model, rows, loss, optimizer and memory decisions; only the tokens are made up.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from forge_common.contracts.domain import TrainingRules
from forge_common.weights.batches import BatchPlan
from forge_common.weights.rows import TokenRow
from forge_common.weights.training import BETAS, MAX_GRADIENT


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rules = TrainingRules.model_validate(task["rules"])
    if rules.method != "qlora":
        # As the child does.
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    print(json.dumps(measure(task, rules)))  # noqa: T201  its answer


def measure(task: dict[str, Any], rules: TrainingRules) -> dict[str, Any]:
    from forge_trainer_cuda.descent import peak_memory_bytes
    from forge_trainer_cuda.jobs import TrainJob
    from forge_trainer_cuda.memory import Room, limit_memory
    from forge_trainer_cuda.train import Learner

    job = TrainJob.model_validate(task["job"] | {"rules": rules})
    limit_memory(rules.max_memory_gb, job.device)
    rows = [
        TokenRow(tuple(tokens), tuple(map(bool, mask)))
        for tokens, mask in zip(task["tokens"], task["masks"], strict=True)
    ]
    learner = Learner(job, rows)
    room = Room(learner.tokens_at_once, lambda message: print(message, file=sys.stderr))  # noqa: T201
    weights = [parameter for parameter in learner.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rules.learning_rate, betas=BETAS, fused=True)
    # The first pass is watched, and forgets what loading took.
    peak = peak_memory_bytes(job.device)
    ends, losses, seen = [], [], []
    for _, batch in BatchPlan(learner.lengths, rules).batches(0):
        longest = max(learner.lengths[row] for row in batch)
        losses.append(room.fit(longest, partial(learner.gradients, batch), learner.forget))
        torch.nn.utils.clip_grad_norm_(weights, MAX_GRADIENT)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if job.device == "cuda":
            torch.cuda.synchronize()
        ends.append(time.perf_counter())
        seen.append((seen[-1] if seen else 0) + sum(learner.lengths[row] for row in batch))
    return {"wall": ends, "seen": seen, "peak": max(peak, peak_memory_bytes(job.device)), "losses": losses,
            "at_once": room.max_tokens, "kept": learner.blocks_that_keep}  # fmt: skip


if __name__ == "__main__":
    main()
