"""What is done to a model on a card changes none of its numbers, here in bf16 on the CPU."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from forge_common.contracts.domain import TrainingRules
from forge_trainer_cuda.model import BesideTheCard, _leave_inputs_narrow, load_trainable

pytestmark = pytest.mark.integration

IDS = torch.arange(20, 60)[None]


@pytest.fixture
def adapted(tiny):
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16)
    model = get_peft_model(base, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def learned(model):
    """Logits and the adapter's gradients, under autocast as in training."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=IDS).logits
    logits.float().square().mean().backward()
    found = [parameter.grad.clone() for parameter in model.parameters() if parameter.requires_grad]
    model.zero_grad()
    return [logits.detach(), *found]


def test_a_4_bit_base_is_nf4_quantised_twice_and_computes_in_f32_on_the_cpu(tiny):
    import bitsandbytes

    model = load_trainable(tiny, TrainingRules(rank=4, method="qlora"), "cpu")

    maps = [each for each in model.modules() if isinstance(each, bitsandbytes.nn.Linear4bit)]
    assert len(maps) == 2 * 7
    assert {each.weight.quant_type for each in maps} == {"nf4"}
    assert all(each.weight.quant_state.nested for each in maps)
    assert {each.compute_dtype for each in maps} == {torch.float32}
    # What every token's probability hangs on stays as it is.
    assert model.get_base_model().lm_head.weight.dtype is torch.float32


def test_inputs_that_stay_narrow_give_the_same_bits(adapted):
    before = learned(adapted)

    _leave_inputs_narrow(adapted)

    assert all(torch.equal(a, b) for a, b in zip(learned(adapted), before, strict=True))
    assert max(each.abs().max() for each in before[1:]) > 0


def test_an_embedding_beside_the_card_gives_the_same_bits(adapted):
    before = learned(adapted)

    base = adapted.get_base_model()
    base.set_input_embeddings(BesideTheCard(base.get_input_embeddings()))

    assert all(torch.equal(a, b) for a, b in zip(learned(adapted), before, strict=True))
