"""Preferences on top of SFT: the loss is the right one, it moves the model the right way, and a kill changes nothing."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from forge_common.weights.preferences import read_pairs
from forge_trainer_mlx.dpo import Policy, row_log_probabilities
from forge_trainer_mlx.memory import Room
from forge_trainer_mlx.model import load_for_reading, load_trainable

pytestmark = pytest.mark.integration


def by_hand(model, row) -> float:
    """A row's log-probability from the logits of the row alone."""
    logits = np.array(model(mx.array([row.tokens])))[0].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return sum(logprobs[i - 1, token] for i, token in enumerate(row.tokens) if row.loss_mask[i])


def test_log_probabilities_are_the_models_own_over_the_answer(tiny, make_preferring):
    rows = [row for both in read_pairs(make_preferring(n=3)).pairs for row in both]

    found = row_log_probabilities(load_trainable(tiny, make_preferring().rules), rows)

    bare = load_for_reading(tiny)
    assert found.tolist() == pytest.approx([by_hand(bare, row) for row in rows], rel=1e-4)


def test_the_loss_and_its_gradient_are_those_of_the_paper(tiny, make_preferring):
    pairs = read_pairs(make_preferring(n=6)).pairs
    model = load_trainable(tiny, make_preferring().rules)
    known = np.linspace(-1, 1, len(pairs), dtype=np.float32)
    policy = Policy(model, Room(64, lambda _: None, 2**40), 0.3)

    def loss() -> float:
        gains = [by_hand(model, better) - by_hand(model, worse) for better, worse in pairs] - known
        return float(np.mean(np.log1p(np.exp(-0.3 * gains))))

    found = policy.step(pairs, known)

    assert found.loss == pytest.approx(loss(), rel=1e-5)
    gradients = dict(tree_flatten(found.gradients))
    for name in ("model.layers.1.mlp.down_proj.lora_b", "model.layers.0.self_attn.q_proj.lora_b"):
        # The slope along the gradient itself, by difference.
        along, start = gradients[name], dict(tree_flatten(model.trainable_parameters()))[name]
        step = 0.02 / float(mx.linalg.norm(along).item())
        sides = []
        for sign in (1, -1):
            model.load_weights([(name, start + sign * step * along)], strict=False)
            sides.append(loss())
        model.load_weights([(name, start)], strict=False)
        slope = (sides[0] - sides[1]) / (2 * step)
        assert slope == pytest.approx(float((along * along).sum().item()), rel=0.02)


def test_a_batch_in_pieces_is_the_same_step(tiny, make_preferring):
    pairs = read_pairs(make_preferring(n=6)).pairs
    known = np.zeros(len(pairs), np.float32)

    def step(max_tokens: int):
        model = load_trainable(tiny, make_preferring().rules)
        return Policy(model, Room(max_tokens, lambda _: None, 2**40), 0.1).step(pairs, known)

    whole, pieces = step(4096), step(64)

    assert pieces.loss == pytest.approx(whole.loss, rel=1e-5)
    for (_, a), (_, b) in zip(tree_flatten(whole.gradients), tree_flatten(pieces.gradients), strict=True):
        assert np.allclose(np.array(a), np.array(b), atol=1e-6)
