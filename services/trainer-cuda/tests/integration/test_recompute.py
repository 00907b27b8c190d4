"""Blocks that compute their activations again give the same gradients to the last bit; the card is only said to be there."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from forge_common.weights.rows import training_rows
from forge_common.weights.tokenizer import ChatTokenizer
from forge_trainer_cuda.model import load_trainable
from forge_trainer_cuda.recompute import Recompute
from forge_trainer_cuda.train import target_loss

pytestmark = pytest.mark.integration

GIB = 2**30


@pytest.fixture
def card(monkeypatch):
    """Says of a card of so many GiB that a pass took 6 GiB at its peak, and a block 1 GiB."""

    def have(gib):
        allocated = count(GIB, GIB)
        said = {
            "synchronize": lambda *_: None,
            "reset_peak_memory_stats": lambda *_: None,
            "memory_allocated": lambda *_: next(allocated),
            "max_memory_allocated": lambda *_: 7 * GIB,
            "memory_reserved": lambda *_: 0,
            "mem_get_info": lambda *_: (gib * GIB, gib * GIB),
            "get_per_process_memory_fraction": lambda *_: 1.0,
            "is_available": lambda: True,
        }
        for name, answer in said.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    return have


@pytest.fixture
def model_and_rows(make_job, tiny):
    job = make_job()
    encoded, _ = training_rows(job, ChatTokenizer(tiny))
    model = load_trainable(tiny, job.rules, "cpu")
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.train(), encoded.rows


def gradients(model, rows):
    target_loss(model, rows, "cpu").backward()
    found = [parameter.grad.clone() for parameter in model.parameters() if parameter.requires_grad]
    model.zero_grad()
    return found


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("gib", "kept"), [(80, 2), (8, 1), (4, 0)])
def test_a_watched_pass_decides_how_many_blocks_keep_theirs_and_changes_no_gradient(
    model_and_rows, card, gib, kept
):
    model, rows = model_and_rows
    plain = gradients(model, rows)
    card(gib)
    recompute = Recompute(model, "cuda")
    assert recompute.kept == 1

    with recompute.watching(1000, 1000):
        watched = gradients(model, rows)
    after = gradients(model, rows)

    assert recompute.kept == kept
    assert same(watched, plain)
    assert same(after, plain)


def test_where_memory_ran_out_every_block_computes_again(model_and_rows, card):
    model, rows = model_and_rows
    plain = gradients(model, rows)
    card(80)
    recompute = Recompute(model, "cuda")

    recompute.all_again()
    with recompute.watching(1000, 1000):
        again = gradients(model, rows)

    assert recompute.kept == 0
    assert same(again, plain)
