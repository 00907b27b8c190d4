"""Rows in one sequence give what each gives by itself, for every family that can be exported."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from forge_common.weights.rows import TokenRow
from forge_trainer_cuda import packed

pytestmark = pytest.mark.integration

ROWS = [TokenRow(tuple(range(10, 10 + n)), tuple(i >= n // 2 for i in range(n))) for n in (5, 17, 1, 30)]
SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


@pytest.fixture(params=["qwen2", "qwen3", "llama", "mistral"])
def models(request):
    """The same weights twice: with our attention and with torch's own."""
    packed.register()
    torch.manual_seed(3)
    ours, theirs = (
        AutoModelForCausalLM.from_config(
            AutoConfig.for_model(request.param, **SHAPE), attn_implementation=attention
        )
        for attention in (packed.ATTENTION, "sdpa")
    )
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval()


def test_packed_logits_are_those_of_each_row_by_itself(models):
    ours, theirs = models
    rows = packed.pack(ROWS, "cpu")

    with torch.no_grad():
        together = ours(
            input_ids=rows.ids, position_ids=rows.positions, bounds=rows.bounds, longest=rows.longest
        ).logits[0]
        apart = torch.cat([theirs(input_ids=torch.tensor([row.tokens])).logits[0] for row in ROWS])

    assert (together - apart).abs().max() < 1e-5


def test_a_row_cannot_see_its_neighbours(models):
    ours, _ = models
    others = [TokenRow(tuple(reversed(row.tokens)), row.loss_mask) for row in ROWS[1:]]

    def first(rows):
        one = packed.pack(rows, "cpu")
        with torch.no_grad():
            hidden = ours.model(
                input_ids=one.ids, position_ids=one.positions, bounds=one.bounds, longest=one.longest
            )
        return hidden.last_hidden_state[0, : len(ROWS[0].tokens)]

    assert torch.equal(first(ROWS), first([ROWS[0], *others]))


def test_what_follows_a_row_is_never_its_target():
    rows = packed.pack(ROWS, "cpu")

    learned = [
        (int(token), int(label))
        for token, label, wanted in zip(rows.ids[0], rows.labels[0], rows.targets[0], strict=True)
        if wanted
    ]

    assert learned == [
        (row.tokens[i], row.tokens[i + 1])
        for row in ROWS
        for i in range(len(row.tokens) - 1)
        if row.loss_mask[i + 1]
    ]
