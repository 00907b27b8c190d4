"""Direct preference optimisation (Rafailov 2023) on top of SFT: the better answer of each pair is to become likelier.

SFT's weights are the reference; what they say of the pairs is asked once, before the first step. A tenth of the pairs is
held out, and DPO's adapter is kept only if it does better there than SFT's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import PeftModel

from forge_common.contracts.stages import Progress
from forge_common.errors import ForgeError
from forge_common.weights.batches import packs
from forge_common.weights.jobs import TrainOutcome
from forge_common.weights.preferences import Pair, concluded, counted, divided, read_pairs, rules_for
from forge_common.weights.room import BEFORE, FIRST
from forge_common.weights.rows import TokenRow
from forge_common.weights.training import Reports
from forge_trainer_cuda.descent import best_adapter, descend
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.logits import log_probabilities
from forge_trainer_cuda.memory import Room, load, longest_pair, make_room, tokens_at_once
from forge_trainer_cuda.model import go_on_from, load_trainable
from forge_trainer_cuda.packed import hidden_states
from forge_trainer_cuda.recompute import Recompute


def prefer(job: TrainJob, sft: TrainOutcome, report: Reports) -> TrainOutcome:
    """`sft` with what DPO made of it, or as it was where there are too few pairs or nothing was gained.

    Goes on where a killed one stopped. Raises TrainingDiverged, RowsTooLong.
    """
    dpo = job.rules.dpo
    encoded = read_pairs(job, longest_pair(job))
    pairs, sft = encoded.pairs, counted(sft, encoded, report)
    if dpo is None or len(pairs) < dpo.min_pairs:
        report.progress(Progress(message=f"preferences: {len(pairs)} pairs are too few, left alone"))
        return sft
    learned, held_out = divided(pairs)
    rules = rules_for(job.rules, dpo, sft.seconds)
    model = load(lambda: load_trainable(Path(job.base), rules, job.device), job.base_name)
    go_on_from(model, Path(sft.adapter), rules)
    folder = Path(job.workdir) / "dpo"
    room = make_room(tokens_at_once(job), job, folder, report)
    policy = Policy(model, room, dpo.beta, job.device)

    room.at(FIRST)
    known = policy.margins(learned)
    room.at(BEFORE)
    known_held_out = policy.margins(held_out)
    lengths = [_tokens(pair) for pair in learned]
    standing = descend(
        model,
        job,
        rules,
        lengths,
        gradients=lambda batch: policy.backward([learned[i] for i in batch], known[batch]),
        judge=lambda: policy.loss(policy.margins(held_out), known_held_out),
        room=room,
        folder=folder,
        report=report,
        message="preferences",
    )
    go_on_from(model, best_adapter(folder), rules)
    margins = policy.margins(held_out)
    gains = (margins - known_held_out).tolist()
    return concluded(sft, standing, best_adapter(folder), pairs=len(pairs), gains=gains, beta=dpo.beta)


class PreferencesUndivided(ForgeError):
    """Preferences are learned on a base that one card holds."""


def refuse_if_divided(job: TrainJob) -> None:
    """Before hours of SFT that DPO was to follow. Raises PreferencesUndivided."""
    if job.sharded and job.preferences and job.rules.dpo:
        raise PreferencesUndivided(
            f"{job.base_name} is divided among {job.cards} cards, and preferences are learned on one alone",
            fix="set training.dpo to null, or training.method to qlora, whose base is a quarter as large",
        )


class Policy:
    """The model that learns. A pair's margin is the better answer's log-probability less the worse one's, (pairs,)."""

    def __init__(self, model: PeftModel, room: Room, beta: float, device: str) -> None:
        self._model, self._room, self._beta, self._device = model, room, beta, device
        self._recompute = Recompute(model, device)

    def margins(self, pairs: Sequence[Pair]) -> torch.Tensor:
        """On the CPU, without gradients."""

        def work(max_tokens: int) -> torch.Tensor:
            found = torch.zeros(len(pairs))
            for part in self._parts(pairs, max_tokens):
                found[part] = self._margins([pairs[i] for i in part]).cpu()
            return found

        self._model.eval()
        with torch.no_grad():
            found = self._room.fit(max(map(_tokens, pairs)), work, lambda: None)
        self._model.train()
        return found

    def loss(self, margins: torch.Tensor, known: torch.Tensor) -> float:
        """Mean over the pairs; `known` are the reference's margins."""
        return float(-F.logsigmoid(self._beta * (margins - known)).mean())

    def backward(self, pairs: Sequence[Pair], known: torch.Tensor) -> float:
        """Add the pairs' gradients; their mean loss."""

        def work(max_tokens: int) -> float:
            total = 0.0
            for part in self._parts(pairs, max_tokens):
                with self._recompute.watching(sum(_tokens(pairs[i]) for i in part), max_tokens):
                    gain = self._margins([pairs[i] for i in part]) - known[part].to(self._device)
                    share = -F.logsigmoid(self._beta * gain).sum() / len(pairs)
                    share.backward()
                total += float(share.detach())
            return total

        return self._room.fit(max(map(_tokens, pairs)), work, self._forget)

    def _forget(self) -> None:
        """What a pass left that ran out of memory."""
        self._model.zero_grad()
        self._recompute.all_again()

    def _parts(self, pairs: Sequence[Pair], max_tokens: int) -> list[list[int]]:
        return packs(range(len(pairs)), [_tokens(pair) for pair in pairs], max_tokens)

    def _margins(self, pairs: Sequence[Pair]) -> torch.Tensor:
        better, worse = row_log_probabilities(self._model, list(chain(*pairs)), self._device).view(-1, 2).T
        return better - worse


def row_log_probabilities(model: PeftModel, rows: Sequence[TokenRow], device: str) -> torch.Tensor:
    """Of what each row learns, in nats, (rows,)."""
    packed, hidden = hidden_states(model, rows, device)
    head = model.get_base_model().lm_head.weight
    each = log_probabilities(hidden[0, packed.wanted], head, packed.wanted_labels)
    row_of = torch.bucketize(packed.wanted, packed.bounds[1:], right=True)
    return torch.zeros(len(rows), device=device).index_add(0, row_of, each)


def _tokens(pair: Pair) -> int:
    return len(pair[0].tokens) + len(pair[1].tokens)
