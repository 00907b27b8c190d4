"""The CPU's own way through LoRA gives what PEFT's gives: answers, gradients, and the bare base where it is switched off."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from forge_common.contracts.domain import TrainingRules
from forge_trainer_cuda.merged import MergedLinear, use
from forge_trainer_cuda.model import load_trainable

pytestmark = pytest.mark.integration


class Net(torch.nn.Module):
    """Two maps, the first with a bias."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(12, 20)
        self.second = torch.nn.Linear(20, 7, bias=False)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


@pytest.fixture
def models():
    """The same weights: PEFT's and ours, both halves of the LoRA random."""
    torch.manual_seed(7)
    net = Net()
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["first", "second"])
    theirs = get_peft_model(copy.deepcopy(net), copy.deepcopy(config))
    ours = get_peft_model(net, use(config))
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            if "lora_" in name:
                weight.normal_()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def gradients(model, x):
    model.zero_grad()
    out = model(x)
    (out * torch.arange(7.0)).sum().backward()
    return [out, x.grad.clone(), *(weight.grad for weight in model.parameters() if weight.requires_grad)]


def test_answers_and_all_gradients_are_pefts(models):
    x = torch.randn(2, 5, 12)

    ours, theirs = (gradients(model, x.clone().requires_grad_()) for model in models)

    assert len(ours) == 2 + 4
    for mine, peers in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, peers, rtol=1e-4, atol=1e-4)


def test_a_disabled_adapter_leaves_the_bare_base(models):
    ours, theirs = models
    x = torch.randn(3, 12)

    with ours.disable_adapter(), theirs.disable_adapter():
        assert torch.equal(ours(x), theirs(x))


def test_it_serves_plain_lora_on_the_cpu_and_nothing_else(tiny):
    kinds = {
        method: {type(each) for each in load_trainable(tiny, TrainingRules(method=method), "cpu").modules()}
        for method in ("lora", "dora")
    }

    assert MergedLinear in kinds["lora"]
    assert MergedLinear not in kinds["dora"]
