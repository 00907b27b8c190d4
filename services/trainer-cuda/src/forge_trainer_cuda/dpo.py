"""Direct preference optimisation (Rafailov 2023) on top of SFT: the better answer of each pair is to become likelier.

SFT's weights are the reference; what they say of the pairs is asked once, before the first step. A tenth of the pairs is
held out, and DPO's adapter is kept only if it does better there than SFT's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import PeftModel

from forge_common.contracts.stages import Progress
from forge_common.weights.batches import packs
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
from forge_trainer_cuda.cards import Crew, Share, Task, crew, idle, others
from forge_trainer_cuda.descent import best_adapter, descend
from forge_trainer_cuda.jobs import TrainJob
from forge_trainer_cuda.logits import log_probabilities
from forge_trainer_cuda.memory import Room, load, longest_pair, make_room, tokens_at_once
from forge_trainer_cuda.model import go_on_from, load_trainable, settle_arithmetic
from forge_trainer_cuda.packed import hidden_states
from forge_trainer_cuda.recompute import Recompute


def prefer(job: TrainJob, sft: TrainOutcome, report: Reports) -> TrainOutcome:
    """`sft` with what DPO made of it, or as it was where there are too few pairs or nothing was gained.

    Goes on where a killed one stopped. Raises TrainingDiverged, RowsTooLong.
    """
    dpo, longest = job.rules.dpo, longest_pair(job)
    encoded = read_pairs(job, longest)
    pairs, sft = encoded.pairs, counted(sft, encoded, report)
    if dpo is None or len(pairs) < dpo.min_pairs:
        report.progress(Progress(message=f"preferences: {len(pairs)} pairs are too few, left alone"))
        return sft
    rules = rules_for(job.rules, dpo, sft.seconds)
    folder = Path(job.workdir) / "dpo"
    with others(job, "dpo", longest):
        policy = Policy(job, pairs, dpo.beta)
        go_on_from(policy.model, Path(sft.adapter), rules)
        room = make_room(policy.tokens_at_once, job, folder, report)

        room.at(FIRST)
        known = policy.margins("learned", room)
        room.at(BEFORE)
        known_held_out = policy.margins("held out", room)

        def gains() -> list[float]:
            now = policy.margins("held out", room)
            return [after - before for after, before in zip(now, known_held_out, strict=True)]

        standing = descend(
            policy.model,
            job,
            rules,
            policy.lengths,
            gradients=lambda batch: policy.gradients(batch, [known[pair] for pair in batch], room),
            judge=lambda: preference_loss(gains(), dpo.beta),
            room=room,
            folder=folder,
            report=report,
            message="preferences",
        )
        go_on_from(policy.model, best_adapter(folder), rules)
        gained = gains()
    return concluded(sft, standing, best_adapter(folder), pairs=len(pairs), gains=gained, beta=dpo.beta)


def lend(job: TrainJob, longest: int | None) -> None:
    """What the processes of further cards do; `longest` is the first one's, that all leave out the same pairs."""
    dpo = job.rules.dpo
    assert dpo is not None
    policy = Policy(job, read_pairs(job, longest).pairs, dpo.beta)
    assert isinstance(policy.crew, Crew)
    policy.crew.follow()


class Policy:
    """The model that learns, in one process. Pairs go by their numbers among those that are learned, or held out.

    A pair's margin is the better answer's log-probability less the worse one's, in nats.
    """

    def __init__(self, job: TrainJob, pairs: Sequence[Pair], beta: float) -> None:
        settle_arithmetic(job.device)
        learned, held_out = divided(pairs)
        self._pairs = {"learned": learned, "held out": held_out}
        self._beta, self._device, self._sharded = beta, job.device, bool(job.sharded)
        self._idle = idle(list(chain(*pairs)))
        self.lengths = _lengths(learned)
        self.model = load(
            lambda: load_trainable(Path(job.base), job.rules, job.device, sharded=self._sharded),
            job.base_name,
        )
        self.tokens_at_once = tokens_at_once(job)
        self._recompute = Recompute(self.model, job.device)
        tasks = {
            name: Task(partial(self.said_of, each), _lengths(each), [1] * len(each), answers=len(each))
            for name, each in self._pairs.items()
        }
        learn = Task(self.backward, self.lengths, [1] * len(learned), has_gradients=True)
        self.crew = crew(job, self.model, {**tasks, "learn": learn})

    def margins(self, of: str, room: Room) -> list[float]:
        """Of all pairs that are `learned` or `held out`, by the weights as they are."""
        pairs = self._pairs[of]
        work = partial(self.crew.do, of, range(len(pairs)))
        return list(room.fit(max(_lengths(pairs)), work, lambda: None))

    def gradients(self, batch: Sequence[int], known: Sequence[float], room: Room) -> float:
        """Add the pairs' gradients; their mean loss. `known` are the reference's margins."""
        (loss,) = room.fit(
            max(self.lengths[pair] for pair in batch),
            partial(self.crew.do, "learn", batch, known=known),
            self._forget,
        )
        return loss

    def said_of(self, pairs: Sequence[Pair], share: Share) -> list[float]:
        """The margins of the share's pairs, each in its place; zero in all others'."""
        found = torch.zeros(len(pairs))
        self.model.eval()
        with torch.no_grad():
            for part in self._passes(share, pairs):
                found[part] = self._margins([pairs[i] for i in part]).cpu()
        self.model.train()
        return [float(margin) for margin in found]

    def backward(self, share: Share) -> list[float]:
        """Add the gradients of the share's pairs, some at a time; their part of the mean loss."""
        total, pairs = 0.0, self._pairs["learned"]
        for part in self._passes(share, pairs):
            tokens = sum(self.lengths[pair] for pair in part) or len(self._idle.tokens)
            with self._recompute.watching(tokens, share.max_tokens):
                known = torch.tensor([share.known[pair] for pair in part], device=self._device)
                gain = self._margins([pairs[i] for i in part]) - known
                loss = -F.logsigmoid(self._beta * gain).sum() / share.total
                loss.backward()
            total += float(loss.detach())
        return [total]

    def _forget(self) -> None:
        """What a pass left that ran out of memory."""
        self.model.zero_grad()
        self._recompute.all_again()

    def _passes(self, share: Share, pairs: Sequence[Pair]) -> Iterator[list[int]]:
        cut = packs(share.rows, _lengths(pairs), share.max_tokens)
        yield from cut
        if self._sharded:
            # Every process takes part in every pass, or the others wait for its share of the blocks for ever.
            yield from ([] for _ in range(share.passes - len(cut)))

    def _margins(self, pairs: Sequence[Pair]) -> torch.Tensor:
        """Of no pair none, and yet something to go back from."""
        if not pairs:
            return row_log_probabilities(self.model, [self._idle], self._device)[:0]
        better, worse = row_log_probabilities(self.model, list(chain(*pairs)), self._device).view(-1, 2).T
        return better - worse


def row_log_probabilities(model: PeftModel, rows: Sequence[TokenRow], device: str) -> torch.Tensor:
    """Of what each row learns, in nats, (rows,)."""
    packed, hidden = hidden_states(model, rows, device)
    head = model.get_base_model().lm_head.weight
    each = log_probabilities(hidden[0, packed.wanted], head, packed.wanted_labels)
    row_of = torch.bucketize(packed.wanted, packed.bounds[1:], right=True)
    return torch.zeros(len(rows), device=device).index_add(0, row_of, each)


def _lengths(pairs: Sequence[Pair]) -> list[int]:
    return [len(better.tokens) + len(worse.tokens) for better, worse in pairs]
