"""Preferences on top of SFT: the loss is the right one, it moves the model the right way, and a kill changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from forge_common.contracts.stages import Progress
from forge_common.weights.adapter import read_adapter
from forge_common.weights.preferences import read_pairs
from forge_trainer_mlx.dpo import Policy, row_log_probabilities
from forge_trainer_mlx.memory import Room
from forge_trainer_mlx.model import load_for_reading, load_trainable
from forge_trainer_mlx.train import train

pytestmark = pytest.mark.integration

DPO = {"learning_rate": 5e-3, "epochs": 3, "batch_size": 8, "min_pairs": 10}


def pair(question: str, better: str, worse: str, n: int) -> dict:
    return {
        "messages": [{"role": "user", "content": question}],
        "chosen": {"role": "assistant", "content": better},
        "rejected": {"role": "assistant", "content": worse},
        "source": f"p{n}",
    }


@pytest.fixture
def make_preferring(make_job, tmp_path):
    """Pairs that prefer the long form to the short one."""

    def make(n: int = 40, workdir: str = "run", **rules):
        path = tmp_path / "preferences.jsonl"
        rows = [pair(f"say {i}", f"{i} it is, gladly", f"{i}", i) for i in range(n)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        job = make_job(workdir=workdir, dpo=DPO | rules)
        return job.model_copy(update={"preferences": str(path)})

    return make


def by_hand(model, row) -> float:
    """A row's log-probability from the logits of the row alone."""
    logits = np.array(model(mx.array([row.tokens])))[0].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return sum(logprobs[i - 1, token] for i, token in enumerate(row.tokens) if row.loss_mask[i])


def test_log_probabilities_are_the_models_own_over_the_answer(tiny, make_preferring):
    rows = [row for both in read_pairs(make_preferring(n=3)) for row in both]

    found = row_log_probabilities(load_trainable(tiny, make_preferring().rules), rows)

    bare = load_for_reading(tiny)
    assert found.tolist() == pytest.approx([by_hand(bare, row) for row in rows], rel=1e-4)


def test_the_loss_and_its_gradient_are_those_of_the_paper(tiny, make_preferring):
    pairs = read_pairs(make_preferring(n=6))
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
    pairs = read_pairs(make_preferring(n=6))
    known = np.zeros(len(pairs), np.float32)

    def step(max_tokens: int):
        model = load_trainable(tiny, make_preferring().rules)
        return Policy(model, Room(max_tokens, lambda _: None, 2**40), 0.1).step(pairs, known)

    whole, pieces = step(4096), step(64)

    assert pieces.loss == pytest.approx(whole.loss, rel=1e-5)
    for (_, a), (_, b) in zip(tree_flatten(whole.gradients), tree_flatten(pieces.gradients), strict=True):
        assert np.allclose(np.array(a), np.array(b), atol=1e-6)


def test_the_better_answers_of_held_out_pairs_become_likelier(make_preferring, report):
    outcome = train(make_preferring(), report)

    preferred = outcome.preferred
    assert preferred.pairs == 40
    assert preferred.loss_before == pytest.approx(math.log(2))
    assert preferred.loss_after < 0.5
    assert preferred.share_gained == 1.0
    assert preferred.kept
    assert Path(outcome.adapter).parent.name == "dpo"
    assert read_adapter(Path(outcome.adapter)).rank == 8
    assert [p.message for p in report.heard if p.message == "preferences"]


def test_sfts_adapter_stays_where_nothing_is_gained(make_preferring, report):
    job = make_preferring()
    rows = [json.loads(line) for line in Path(job.preferences).read_text().splitlines()]
    for row in rows[::10]:  # those that are held out prefer the opposite
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    Path(job.preferences).write_text("".join(json.dumps(row) + "\n" for row in rows))

    outcome = train(job, report)

    assert outcome.preferred.loss_after > outcome.preferred.loss_before
    assert not outcome.preferred.kept
    assert Path(outcome.adapter).parent.name != "dpo"


def test_too_few_pairs_are_left_alone(make_preferring, report):
    outcome = train(make_preferring(n=9), report)

    assert outcome.preferred is None
    assert any("too few" in progress.message for progress in report.heard)


class StopAt:
    """Stands for a process that ends in the middle of DPO."""

    def __init__(self, step: int) -> None:
        self._step = step

    def progress(self, progress: Progress) -> None:
        if progress.message == "preferences" and progress.step == self._step:
            raise KeyboardInterrupt


def test_a_stopped_dpo_goes_on_to_the_same_bits(make_preferring, report):
    whole = train(make_preferring(workdir="whole"), report)
    with pytest.raises(KeyboardInterrupt):
        train(make_preferring(workdir="stopped"), StopAt(6))

    resumed = train(make_preferring(workdir="stopped"), report)

    assert resumed.preferred == whole.preferred
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert Path(resumed.adapter, name).read_bytes() == Path(whole.adapter, name).read_bytes()


def test_pairs_are_read_only_when_the_rules_ask_for_dpo(make_preferring, report):
    job = make_preferring()
    rules = job.rules.model_copy(update={"dpo": None})

    assert train(job.model_copy(update={"rules": rules}), report).preferred is None
