"""Which rows are trained on in which step, the same on every trainer. A pure function of seed and step, so that a resumed training goes on exactly."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from forge_common.contracts.domain import TrainingRules

# Rows of similar length share a batch when drawn from a window of so many batches: wider pads less but mixes less.
WINDOW = 16
# What beginning another pass through the model costs, in tokens that could be padding instead.
PART_TOKENS = 128
# Of the peak rate: what the last steps still learn with.
FLOOR = 0.05


class BatchPlan:
    """Every row once per epoch, in batches of rows of similar length, in an order that `seed` and the epoch fix.

    A batch has at most `batch_size` rows and, where the rules say so, `batch_tokens` tokens; a longer row is one by itself.
    """

    def __init__(self, lengths: Sequence[int], rules: TrainingRules) -> None:
        self._lengths, self._rules = lengths, rules
        # A fixed step count is the seed document's way and wins over epochs.
        self.steps = rules.iterations or self._steps_of(rules.epochs)

    def batches(self, start: int) -> Iterator[tuple[int, list[int]]]:
        """Steps from `start` (0 is the first) to the last, each with the indices of its rows."""
        step = 0
        for epoch in itertools.count():
            for rows in self._epoch(epoch):
                if step == self.steps:
                    return
                if step >= start:
                    yield step, rows
                step += 1

    def _steps_of(self, epochs: float) -> int:
        whole = sum(len(self._epoch(epoch)) for epoch in range(int(epochs)))
        part = epochs - int(epochs)
        return whole + (math.ceil(part * len(self._epoch(int(epochs)))) if part else 0)

    def _epoch(self, epoch: int) -> list[list[int]]:
        order = list(range(len(self._lengths)))
        shuffler = random.Random(f"{self._rules.seed}/{epoch}")  # noqa: S311  an order, not a secret
        shuffler.shuffle(order)
        window = WINDOW * self._rules.batch_size
        ordered = [
            row
            for start in range(0, len(order), window)
            for row in sorted(order[start : start + window], key=lambda row: self._lengths[row])
        ]
        batches = list(self._cut(ordered))
        shuffler.shuffle(batches)
        return batches

    def _cut(self, ordered: Sequence[int]) -> Iterator[list[int]]:
        most = self._rules.batch_tokens or math.inf
        batch: list[int] = []
        tokens = 0
        for row in ordered:
            if batch and (len(batch) == self._rules.batch_size or tokens + self._lengths[row] > most):
                yield batch
                batch, tokens = [], 0
            batch.append(row)
            tokens += self._lengths[row]
        if batch:
            yield batch


def packs(rows: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Rows for as few sequences of at most `max_tokens` tokens as can be had; a longer row is one by itself.

    Best-fit decreasing: no more than 11/9 of the fewest and six ninths of one (Johnson 1974). For trainers that pack;
    `parts` is for those that pad.
    """
    packed: list[list[int]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        fitting = [i for i, left in enumerate(room) if left >= lengths[row]]
        if fitting:
            best = min(fitting, key=room.__getitem__)
            packed[best].append(row)
            room[best] -= lengths[row]
        else:
            packed.append([row])
            room.append(max_tokens - lengths[row])
    return packed


def parts(rows: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Cut a batch into parts of at most `max_tokens` tokens after padding; a longer row is a part of its own.

    Of all ways to cut it in the order of length the one that costs least, where a part costs its tokens, padding
    included, and PART_TOKENS.
    """
    order = sorted(rows, key=lambda row: lengths[row])
    # Of the first `n` rows: what they cost at least, and where their last part begins.
    costs, begins = [0], [0]
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        fewest = max(0, end - max(1, max_tokens // longest))
        cost, begin = min((costs[first] + (end - first) * longest, first) for first in range(fewest, end))
        costs.append(cost + PART_TOKENS)
        begins.append(begin)
    cut: list[list[int]] = []
    end = len(order)
    while end:
        cut.append(order[begins[end] : end])
        end = begins[end]
    return cut[::-1]


def learning_rate(step: int, rules: TrainingRules, steps: int) -> float:
    """Linear warm-up, then by the rules' schedule down to a twentieth of the peak. `step` counts from 0."""
    warm = min(1.0, (step + 1) / max(1, rules.warmup_steps))
    done = step / steps
    left = {"linear": 1.0 - done, "cosine": (1.0 + math.cos(math.pi * done)) / 2, "constant": 1.0}
    return rules.learning_rate * warm * max(FLOOR, left[rules.schedule])
