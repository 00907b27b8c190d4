"""Preferences on top of SFT: the loss is the right one, it moves the model the right way, and a kill changes nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  its customary name
from peft import PeftModel
from transformers import AutoModelForCausalLM

from forge_common.weights.preferences import read_pairs
from forge_trainer_cuda.dpo import Policy, row_log_probabilities
from forge_trainer_cuda.logits import cross_entropy, log_probabilities
from forge_trainer_cuda.memory import Room
from forge_trainer_cuda.model import load_trainable
from forge_trainer_cuda.packed import hidden_states
from forge_trainer_cuda.train import train

pytestmark = pytest.mark.integration


def test_log_probabilities_are_the_models_own_over_the_answer(tiny, make_preferring):
    pairs = read_pairs(make_preferring(n=3)).pairs
    rows = [row for both in pairs for row in both]
    model = load_trainable(tiny, make_preferring().rules, "cpu")
    reference = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)

    with torch.no_grad():
        found = row_log_probabilities(model, rows, "cpu")
        expected = []
        for row in rows:
            logits = reference(input_ids=torch.tensor([row.tokens])).logits[0].log_softmax(-1)
            places = [i for i in range(1, len(row.tokens)) if row.loss_mask[i]]
            expected.append(sum(logits[i - 1, row.tokens[i]].item() for i in places))

    assert found.tolist() == pytest.approx(expected, rel=1e-4)


def test_the_loss_and_its_gradient_are_those_of_the_paper(make_preferring):
    job = make_preferring(n=7)
    pairs = read_pairs(job).pairs
    policy = Policy(job, pairs, 0.3)
    known = torch.linspace(-1, 1, 6)
    weights = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]

    loss = policy.gradients(range(6), known.tolist(), Room(64, lambda _: None))
    in_pieces = [weight.grad.clone() for weight in weights]
    policy.model.zero_grad()
    # The first one is held out.
    sums = row_log_probabilities(policy.model, [row for both in pairs[1:] for row in both], "cpu").view(-1, 2)
    expected = -torch.log(torch.sigmoid(0.3 * (sums[:, 0] - sums[:, 1] - known))).mean()
    expected.backward()

    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for found, weight in zip(in_pieces, weights, strict=True):
        assert torch.allclose(found, weight.grad, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 64 * 5, 2**25])
def test_in_pieces_of_any_size_margins_and_gradients_are_those_of_all_logits(
    tiny, make_preferring, monkeypatch, at_once
):
    rows = [row for both in read_pairs(make_preferring(n=6)).pairs for row in both]
    model = load_trainable(tiny, make_preferring().rules, "cpu")
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    packed, hidden = hidden_states(model, rows, "cpu")
    every = model.get_base_model().lm_head(hidden[0]).log_softmax(-1)
    flags = torch.tensor([flag for row in rows for flag in (*row.loss_mask[1:], False)])
    owners = torch.cat([torch.full((len(row.tokens),), i) for i, row in enumerate(rows)])
    said = every.gather(1, packed.labels[0][:, None])[:, 0] * flags
    expected = torch.zeros(len(rows)).index_add(0, owners, said)
    wanted = torch.autograd.grad((expected * torch.arange(len(rows))).sum(), weights)

    monkeypatch.setattr("forge_trainer_cuda.logits.AT_ONCE", at_once)
    found = row_log_probabilities(model, rows, "cpu")
    got = torch.autograd.grad((found * torch.arange(len(rows))).sum(), weights)

    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    for one, other in zip(got, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_no_tensor_of_all_logits_is_kept_for_the_way_back():
    hidden, head = torch.randn(300, 16, requires_grad=True), torch.randn(1000, 16)
    kept: list[int] = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        log_probabilities(hidden, head, torch.zeros(300, dtype=torch.long))

    assert kept
    assert max(kept) <= head.numel()


def test_sums_of_bf16_weights_are_right_to_a_thousandth():
    torch.manual_seed(0)
    hidden, head = torch.randn(600, 64).bfloat16(), torch.randn(1000, 64).bfloat16()
    labels = torch.randint(0, 1000, (600,))
    expected = F.cross_entropy((hidden.float() @ head.float().T), labels, reduction="sum").item()

    assert cross_entropy(hidden, head, labels).item() == pytest.approx(expected, rel=2e-3)
    assert -log_probabilities(hidden, head, labels).sum().item() == pytest.approx(expected, rel=1e-3)


def test_pairs_too_long_for_the_card_are_left_out_and_counted(make_preferring):
    job = make_preferring(n=12)
    pairs = read_pairs(job).pairs
    longest = max(len(better.tokens) + len(worse.tokens) for better, worse in pairs)

    assert read_pairs(job, longest) == read_pairs(job)
    shorter = read_pairs(job, longest - 1)
    assert len(shorter.pairs) + shorter.too_long == 12
    assert shorter.too_long


def test_the_adapter_is_one_that_peft_loads(tiny, make_preferring, report):
    outcome = train(make_preferring(), report)

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), outcome.adapter)

    assert model.peft_config["default"].r == 8
