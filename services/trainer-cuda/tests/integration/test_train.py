"""The training loop: what it learns, that the loss is the right one, and that a kill changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from forge_common.contracts.domain import TrainingRules
from forge_common.testing.trainers.shared import StopAt, Stopped, contents
from forge_common.weights.adapter import read_adapter
from forge_common.weights.rows import NothingToTrainOn, TokenRow
from forge_trainer_cuda.model import load_trainable
from forge_trainer_cuda.train import target_loss, train

pytestmark = pytest.mark.integration

ROWS = [TokenRow(tuple(range(10, 10 + n)), tuple(i >= n // 2 for i in range(n))) for n in (5, 17, 9, 30)]


def test_the_loss_is_the_models_own_over_the_assistants_tokens(tiny):
    model = load_trainable(tiny, TrainingRules(rank=4), "cpu")
    reference = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)

    expected = 0.0
    for row in ROWS:
        labels = [t if m else -100 for t, m in zip(row.tokens, row.loss_mask, strict=True)]
        loss = reference(input_ids=torch.tensor([row.tokens]), labels=torch.tensor([labels])).loss
        expected += loss.item() * row.targets

    assert target_loss(model, ROWS, "cpu").item() == pytest.approx(expected, rel=1e-5)


def test_padding_and_cutting_a_batch_change_no_gradient(tiny):
    def gradient(parts):
        model = load_trainable(tiny, TrainingRules(rank=4), "cpu")
        for part in parts:
            target_loss(model, part, "cpu").backward()
        return [p.grad.clone() for p in model.parameters() if p.requires_grad]

    whole, single = gradient([ROWS]), gradient([[row] for row in ROWS])

    assert any(g.abs().max() > 0 for g in whole)
    for a, b in zip(whole, single, strict=True):
        assert (a - b).norm() < 1e-4 * b.norm() + 1e-9


def test_training_learns_what_it_is_shown(make_job, report):
    outcome = train(make_job(epochs=8), report)

    first, best = outcome.curve[0], min(p.valid_loss for p in outcome.curve if p.valid_loss is not None)
    assert best < 0.6 * first.train_loss
    assert outcome.valid_loss == best
    assert outcome.steps == 32


def test_the_peak_of_memory_is_the_whole_processes(make_job, report):
    assert train(make_job(), report).peak_memory_bytes > 50e6


def test_tokens_are_counted_without_padding(make_job, report):
    short = [("a", "b")] * 8

    once = train(make_job(train=short, iterations=1), report).tokens
    twice = train(make_job(train=short, iterations=2, workdir="two"), report).tokens

    assert twice == 2 * once


def test_a_kill_between_the_renames_of_a_checkpoint_loses_nothing(make_job, report):
    whole = train(make_job(workdir="whole"), report)
    with pytest.raises(Stopped):
        train(make_job(workdir="stopped"), StopAt(6))
    checkpoint = Path(make_job(workdir="stopped").workdir) / "checkpoint"
    checkpoint.rename(checkpoint.with_name("checkpoint.old"))
    report.heard.clear()

    resumed = train(make_job(workdir="stopped"), report)

    assert report.heard[0].step == 5
    assert resumed.curve == whole.curve


def test_the_best_adapter_wins_and_training_stops_when_it_gets_worse(make_job, report):
    # What is learnt is wrong for the validation rows, so they get worse with every step.
    outcome = train(
        make_job(
            train=[("say", "yes yes yes")] * 32,
            valid=[("say", "no no no")] * 4,
            epochs=50,
            evaluate_every=2,
            patience=2,
        ),
        report,
    )

    judged = {p.step: p.valid_loss for p in outcome.curve if p.valid_loss is not None}
    assert outcome.valid_loss == min(judged.values()) == judged[outcome.best_step]
    assert outcome.steps == outcome.best_step + 2 * 2 < 200


def test_the_same_seed_gives_the_same_adapter_and_another_one_does_not(make_job, report):
    first = contents(train(make_job(workdir="a"), report).adapter)

    assert contents(train(make_job(workdir="b"), report).adapter) == first
    assert contents(train(make_job(workdir="c", seed=2), report).adapter) != first


def test_only_the_last_layers_are_trained_when_told(make_job, report):
    outcome = train(make_job(num_layers=1), report)

    names = read_adapter(Path(outcome.adapter)).pairs
    config = json.loads((Path(outcome.adapter) / "adapter_config.json").read_text())
    assert len(names) == 7
    assert all(name.startswith("model.layers.1.") for name in names)
    assert config["layers_to_transform"] == [1]


def test_qlora_trains_on_a_four_bit_base(make_job, report):
    outcome = train(make_job(method="qlora", epochs=4), report)

    assert outcome.valid_loss < 0.9 * outcome.curve[0].train_loss
    pair = read_adapter(Path(outcome.adapter)).pairs["model.layers.0.mlp.up_proj.weight"]
    assert np.abs(pair.b).max() > 0


def test_rows_that_are_too_long_are_counted(make_job, report):
    pairs = [("say", "yes")] * 16 + [("say", "word " * 300)] * 3

    assert train(make_job(train=pairs), report).too_long == 3


def test_a_dataset_without_a_usable_row_is_refused(make_job, report):
    with pytest.raises(NothingToTrainOn, match="none of 4 turns"):
        train(make_job(train=[("say", "word " * 300)] * 4), report)
