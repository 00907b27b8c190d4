"""Direct preference optimisation (Rafailov 2023) on top of SFT: the better answer of each pair is to become likelier.

SFT's weights are the reference; what they say of the pairs is asked once, before the first step. A tenth of the pairs is
held out, and DPO's adapter is kept only if it does better there than SFT's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from forge_common.contracts.stages import Progress
from forge_common.weights.batches import parts
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.preferences import (
    Pair,
    concluded,
    counted,
    divided,
    preference_loss,
    read_pairs,
    rules_for,
)
from forge_common.weights.room import BEFORE, FIRST
from forge_common.weights.rows import TokenRow
from forge_common.weights.training import Reports
from forge_trainer_mlx.descent import Step, descend, number, summed
from forge_trainer_mlx.jobs import TrainJob
from forge_trainer_mlx.memory import Room, make_room
from forge_trainer_mlx.model import go_on_from, load_trainable, log_probabilities, padded, save_memory

Margins = NDArray[np.float32]
"""Of pairs: the better answer's log-probability less the worse one's, in nats."""


def prefer(job: TrainJob, sft: TrainOutcome, report: Reports) -> TrainOutcome:
    """`sft` with what DPO made of it, or as it was where there are too few pairs or nothing was gained.

    Goes on where a killed one stopped. Raises TrainingDiverged, RowsTooLong.
    """
    dpo, encoded = job.rules.dpo, read_pairs(job)
    pairs, sft = encoded.pairs, counted(sft, encoded, report)
    if dpo is None or len(pairs) < dpo.min_pairs:
        report.progress(Progress(message=f"preferences: {len(pairs)} pairs are too few, left alone"))
        return sft
    learned, held_out = divided(pairs)
    rules = rules_for(job.rules, dpo, sft.seconds)
    model = load_trainable(Path(job.base), rules)
    go_on_from(model, Path(sft.adapter), rules)
    save_memory(model)
    folder = Path(job.workdir) / "dpo"
    room = make_room(job, folder, report)
    policy = Policy(model, room, dpo.beta)
    longest = max(pairs, key=_tokens)
    room.measure(
        _tokens(longest), lambda: mx.eval(policy.share([longest], np.zeros(1, np.float32), 1).gradients)
    )

    room.at(FIRST + 1)
    known = policy.margins(learned)
    room.at(BEFORE)
    known_held_out = policy.margins(held_out)
    standing = descend(
        model,
        job,
        rules,
        [sum(len(row.tokens) for row in pair) for pair in learned],
        gradients=lambda batch: policy.step([learned[i] for i in batch], known[batch]),
        judge=lambda: preference_loss((policy.margins(held_out) - known_held_out).tolist(), dpo.beta),
        room=room,
        folder=folder,
        report=report,
        message="preferences",
    )
    go_on_from(model, folder / "best", rules)
    gains = (policy.margins(held_out) - known_held_out).tolist()
    return concluded(sft, standing, folder / "best", pairs=len(pairs), gains=gains, beta=dpo.beta)


class Policy:
    """The model that learns."""

    def __init__(self, model: nn.Module, room: Room, beta: float) -> None:
        self._model, self._room, self._beta = model, room, beta

    def margins(self, pairs: Sequence[Pair]) -> Margins:
        def work(max_tokens: int) -> Margins:
            found = np.zeros(len(pairs), np.float32)
            for part in _parts(pairs, max_tokens):
                found[part] = np.array(margins_of(self._model, [pairs[i] for i in part]))
            return found

        return self._room.fit(max(map(_tokens, pairs)), work, lambda: None)

    def step(self, pairs: Sequence[Pair], known: Margins) -> Step:
        """The pairs' mean loss and its gradients; `known` are the reference's margins."""

        def work(max_tokens: int) -> Step:
            asked = _parts(pairs, max_tokens)
            return summed(self.share([pairs[i] for i in part], known[part], len(pairs)) for part in asked)

        return self._room.fit(max(map(_tokens, pairs)), work, lambda: None)

    def share(self, pairs: Sequence[Pair], known: Margins, of: int) -> Step:
        """What these pairs add to the mean loss of a batch of so many."""
        ask = nn.value_and_grad(self._model, partial(self._loss, pairs=pairs, known=mx.array(known), of=of))
        loss, gradients = ask()
        mx.eval(loss, gradients)
        return Step(number(loss), gradients)

    def _loss(self, *, pairs: Sequence[Pair], known: mx.array, of: int) -> mx.array:
        gains = margins_of(self._model, pairs) - known
        loss: mx.array = -nn.log_sigmoid(self._beta * gains).sum() / of
        return loss


def margins_of(model: nn.Module, pairs: Sequence[Pair]) -> mx.array:
    both = row_log_probabilities(model, list(chain(*pairs))).reshape(-1, 2)
    return both[:, 0] - both[:, 1]


def row_log_probabilities(model: nn.Module, rows: Sequence[TokenRow]) -> mx.array:
    """Of what each row learns, in nats, (rows,)."""
    tokens, places, targets = padded(rows)
    each = log_probabilities(model, tokens, places, targets)
    # A product with zeros and ones adds up in the same order every time.
    belongs = (places // tokens.shape[1])[None, :] == mx.arange(len(rows))[:, None]
    sums: mx.array = belongs.astype(mx.float32) @ each
    return sums


def _parts(pairs: Sequence[Pair], max_tokens: int) -> list[list[int]]:
    return parts(range(len(pairs)), [_tokens(pair) for pair in pairs], max_tokens)


def _tokens(pair: Pair) -> int:
    """With padding: both are as long as the longer one."""
    return 2 * max(len(row.tokens) for row in pair)
