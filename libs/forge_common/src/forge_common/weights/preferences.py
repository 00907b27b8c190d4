"""What DPO is on every trainer: which pairs are learned and which judge it, its pace, and whether it is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forge_common.contracts.dataset import PreferenceRow
from forge_common.contracts.domain import DpoRules, TrainingRules
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import Preferred, Progress
from forge_common.weights.jobs import TrainJob, TrainOutcome
from forge_common.weights.rows import (
    TokenRow,
    Tools,
    called,
    encode_row,
    load_preferences,
    row_limit,
    turns,
    with_system_prompt,
)
from forge_common.weights.tokenizer import ChatTokenizer, ChatTokens
from forge_common.weights.training import Reports, Standing

Pair = tuple[TokenRow, TokenRow]
"""The better answer, and the worse one."""


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    """`split` pairs are learned under the newest turns before them alone; `too_long` ones do not fit even under the last
    turn and were left out whole.
    """

    pairs: tuple[Pair, ...]
    too_long: int
    split: int = 0


HELD_OUT_EVERY = 10
# Where SFT took all of the time: DPO ends after its first step.
SHORTEST_S = 1e-3


def read_pairs(job: TrainJob, longest: int | None = None) -> EncodedPairs:
    """`longest` is the most tokens that both rows of a pair may have together."""
    if job.preferences is None:
        return EncodedPairs(pairs=(), too_long=0)
    return encode_preferences(
        load_preferences(Path(job.preferences)),
        ChatTokenizer(Path(job.base)),
        system_prompt=job.system_prompt,
        max_tokens=row_limit(job),
        max_pair_tokens=longest,
    )


def encode_preferences(
    rows: Iterable[PreferenceRow],
    tokenizer: ChatTokens,
    *,
    system_prompt: str,
    max_tokens: int,
    max_pair_tokens: int | None = None,
) -> EncodedPairs:
    """The better and the worse answer of each pair, only the answer learned. Both of at most `max_tokens`, and together of
    at most `max_pair_tokens`.
    """
    most = math.inf if max_pair_tokens is None else max_pair_tokens

    def fits(better: TokenRow, worse: TokenRow) -> bool:
        tokens = len(better.tokens), len(worse.tokens)
        return max(tokens) <= max_tokens and sum(tokens) <= most

    pairs: list[Pair] = []
    too_long = split = 0
    for row in rows:
        asked = with_system_prompt([_unlearned(message) for message in row.messages], system_prompt)
        whole = _encoded_pair(asked, row, tokenizer, row.tools)
        pair = whole if fits(*whole) else _newest_turns(asked, row, tokenizer, fits)
        pairs += [pair] if pair else []
        too_long += pair is None
        split += pair is not None and pair is not whole
    return EncodedPairs(pairs=tuple(pairs), too_long=too_long, split=split)


def _newest_turns(
    asked: Sequence[Message],
    row: PreferenceRow,
    tokenizer: ChatTokens,
    fits: Callable[[TokenRow, TokenRow], bool],
) -> Pair | None:
    """The pair under as many of the newest turns as fit, and the same system prompt; None where not even the last does."""
    opening = [message for message in asked if message.role == "system"]
    tools = called([*asked, row.chosen, row.rejected], row.tools)
    found: Pair | None = None
    newest: list[Message] = []
    for turn in reversed(turns(message for message in asked if message.role != "system")):
        newest = [*turn, *newest]
        pair = _encoded_pair([*opening, *newest], row, tokenizer, tools)
        if not fits(*pair):
            break
        found = pair
    return found


def _encoded_pair(asked: Sequence[Message], row: PreferenceRow, tokenizer: ChatTokens, tools: Tools) -> Pair:
    better, worse = (
        encode_row([*asked, answer.model_copy(update={"weight": None})], tokenizer, tools)
        for answer in (row.chosen, row.rejected)
    )
    return better, worse


def _unlearned(message: Message) -> Message:
    return message.model_copy(update={"weight": 0})


def counted(sft: TrainOutcome, encoded: EncodedPairs, report: Reports) -> TrainOutcome:
    """`sft` with what became of the pairs at tokenising, which is also reported where it is anything."""
    if encoded.split:
        report.progress(
            Progress(message=f"preferences: {encoded.split} pairs are too long with all that came before them, "
                     "their oldest turns are left out")
        )  # fmt: skip
    if encoded.too_long:
        report.progress(Progress(message=f"preferences: {encoded.too_long} pairs are too long, left out"))
    return sft.model_copy(update={"pairs_split": encoded.split, "pairs_too_long": encoded.too_long})


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
