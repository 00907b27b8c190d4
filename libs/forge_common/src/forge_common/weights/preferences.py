"""What DPO is on every trainer: which pairs are learned and which judge it, its pace, and whether it is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from forge_common.contracts.domain import DpoRules, TrainingRules
from forge_common.contracts.stages import Preferred
from forge_common.weights.jobs import TrainJob, TrainOutcome
from forge_common.weights.rows import TokenRow, encode_preferences, load_preferences, row_limit
from forge_common.weights.tokenizer import ChatTokenizer
from forge_common.weights.training import Standing

Pair = tuple[TokenRow, TokenRow]
"""The better answer, and the worse one."""

HELD_OUT_EVERY = 10
# Where SFT took all of the time: DPO ends after its first step.
SHORTEST_S = 1e-3


def read_pairs(job: TrainJob) -> list[Pair]:
    if job.preferences is None:
        return []
    tokenizer = ChatTokenizer(Path(job.base))
    return encode_preferences(
        load_preferences(Path(job.preferences)),
        tokenizer,
        system_prompt=job.system_prompt,
        max_tokens=row_limit(job),
    )


def divided(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Those to learn from, and every tenth, which judges."""
    learned = [pair for i, pair in enumerate(pairs) if i % HELD_OUT_EVERY]
    return learned, list(pairs[::HELD_OUT_EVERY])


def rules_for(rules: TrainingRules, dpo: DpoRules, spent_s: float) -> TrainingRules:
    """DPO's pace on the same adapter, in what SFT left of the time."""
    pace = {
        "epochs": dpo.epochs,
        "iterations": None,
        "learning_rate": dpo.learning_rate,
        "batch_size": dpo.batch_size,
        "batch_tokens": None,
        "weight_decay": 0.0,
        "max_seconds": None if rules.max_seconds is None else max(rules.max_seconds - spent_s, SHORTEST_S),
    }
    return rules.model_copy(update=pace)


def preference_loss(gains: Sequence[float], beta: float) -> float:
    """Mean over the pairs; a gain is how much a pair's margin grew over the reference's, in nats."""
    return sum(_softplus(-beta * gain) for gain in gains) / len(gains)


def concluded(
    sft: TrainOutcome, standing: Standing, adapter: Path, *, pairs: int, gains: Sequence[float], beta: float
) -> TrainOutcome:
    """`sft` with what DPO did; its adapter only if held-out pairs say that it is better. `gains` are theirs, at the end."""
    before, after = preference_loss([0.0], beta), preference_loss(gains, beta)
    preferred = Preferred(
        pairs=pairs,
        steps=standing.step,
        curve=standing.curve,
        loss_before=before,
        loss_after=after,
        share_gained=sum(gain > 0 for gain in gains) / len(gains),
        kept=after < before,
    )
    update = {
        "preferred": preferred,
        "seconds": sft.seconds + standing.seconds,
        "tokens": sft.tokens + standing.tokens,
        "peak_memory_bytes": max(sft.peak_memory_bytes, standing.peak_memory_bytes),
    }
    return sft.model_copy(update=update | ({"adapter": str(adapter)} if preferred.kept else {}))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
