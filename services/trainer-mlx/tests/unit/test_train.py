from __future__ import annotations

import numpy as np
import pytest

from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.rows import TokenRow

mx = pytest.importorskip("mlx.core", reason="mlx is not installed on this machine")
train = pytest.importorskip("forge_trainer_mlx.train", reason="mlx-lm is not installed on this machine")
model = pytest.importorskip("forge_trainer_mlx.model")

SHORT = TokenRow(tokens=(5, 9, 30), loss_mask=(False, False, True))
LONG = TokenRow(tokens=(7, 2, 11, 40, 8), loss_mask=(False, True, True, False, True))


@pytest.fixture
def tiny(tmp_path):
    return model.load_for_reading(write_tiny_model(tmp_path))


def loss_by_hand(tiny, row: TokenRow) -> float:
    logits = np.array(tiny(mx.array([row.tokens])))[0].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -sum(logprobs[i - 1, token] for i, token in enumerate(row.tokens) if row.loss_mask[i])


def test_the_loss_counts_the_assistants_tokens_and_no_others(tiny):
    assert train.target_loss(tiny, [LONG]).item() == pytest.approx(loss_by_hand(tiny, LONG), rel=1e-5)


def test_padding_changes_no_loss(tiny):
    together = train.target_loss(tiny, [SHORT, LONG]).item()

    assert together == pytest.approx(loss_by_hand(tiny, SHORT) + loss_by_hand(tiny, LONG), rel=1e-5)
