"""The arithmetic of memory, against sizes that are known, and what is said when it does not fit."""

from __future__ import annotations

import pytest

from forge_common.contracts.domain import DpoRules, TrainingRules
from forge_common.weights.estimate import (
    NotEnoughMemory,
    adapter_weights,
    check_memory,
    check_ram,
    shape_of,
    training_need,
)

GIB = 2**30
QWEN_7B = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
LLAMA_1B = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
QLORA, LORA = TrainingRules(method="qlora"), TrainingRules(method="lora")


def test_weights_are_counted_as_the_models_publishers_do():
    assert shape_of(QWEN_7B).weights == pytest.approx(7.615e9, rel=0.001)
    assert shape_of(LLAMA_1B).weights == pytest.approx(1.236e9, rel=0.001)


def test_an_adapter_on_every_map_of_a_7b_has_forty_million_weights_at_rank_16():
    assert adapter_weights(shape_of(QWEN_7B), TrainingRules(rank=16)) == 40_370_176


def test_fewer_layers_or_targets_are_fewer_weights():
    shape = shape_of(QWEN_7B)
    whole = adapter_weights(shape, QLORA)

    assert adapter_weights(shape, TrainingRules(num_layers=7)) == whole / 4
    assert adapter_weights(shape, TrainingRules(targets=("q_proj",))) == 28 * 16 * (3584 + 3584)


def test_a_7b_by_qlora_fits_a_card_of_8_gib_and_by_lora_does_not():
    shape = shape_of(QWEN_7B)

    assert 6 * GIB < training_need(shape, QLORA, "cuda").total < 7.5 * GIB
    assert 16 * GIB < training_need(shape, LORA, "cuda").total < 17 * GIB


def test_the_parts_add_up_and_more_tokens_take_more_of_activations_alone():
    shape = shape_of(QWEN_7B)
    few, many = (training_need(shape, QLORA, "cuda", tokens=tokens) for tokens in (128, 1024))

    assert few.total == few.weights + few.adapter + few.activations + few.context
    # Logits come in pieces, so that theirs do not grow without end.
    assert 3.9 * few.activations < many.activations < 8 * few.activations
    assert many.total - few.total == many.activations - few.activations


def test_two_rows_at_once_are_asked_for_where_pairs_are_to_be_learned():
    shape, preferring = shape_of(QWEN_7B), QLORA.model_copy(update={"dpo": DpoRules()})
    one, two = (training_need(shape, rules, "cuda") for rules in (QLORA, preferring))

    assert two.activations == pytest.approx(2 * one.activations)
    assert two.total < 7.5 * GIB


def test_a_cpu_computes_in_f32():
    shape = shape_of(QWEN_7B)

    assert training_need(shape, LORA, "cpu").weights == 2 * training_need(shape, LORA, "cuda").weights


def test_4_bit_weights_are_those_of_the_blocks_on_every_device():
    shape = shape_of(QWEN_7B)
    by_mlx, by_cuda = (training_need(shape, QLORA, kind).weights for kind in ("mlx", "cuda"))

    # mlx's groups of 64 carry a scale and a bias, NF4's a scale that is quantised itself.
    assert by_mlx - by_cuda == pytest.approx(
        shape.block_weights * (4 / 64 - 1 / 64 - 4 / (64 * 256)), rel=1e-6
    )
    assert by_mlx > shape.embedding_weights * 2 + shape.block_weights // 2


def test_what_cannot_fit_is_refused_with_the_arithmetic_and_the_method_that_does():
    with pytest.raises(
        NotEnoughMemory, match=r"needs 16\.\d GiB.*weights 14\.2 GiB.*8\.0 GiB free"
    ) as caught:
        check_memory("Qwen/Qwen2.5-7B", shape_of(QWEN_7B), LORA, "cuda", free=8 * GIB, total=8 * GIB)

    assert "method to qlora, which needs 6." in str(caught.value.fix)


def test_a_card_that_others_use_is_told_apart_from_one_that_is_too_small():
    shape = shape_of(QWEN_7B)

    with pytest.raises(NotEnoughMemory) as busy:
        check_memory("m", shape, QLORA, "cuda", free=3 * GIB, total=8 * GIB)
    with pytest.raises(NotEnoughMemory) as small:
        check_memory("m", shape, QLORA, "cuda", free=4 * GIB, total=4 * GIB)

    assert "end what else uses it" in str(busy.value.fix)
    assert "smaller base model" in str(small.value.fix)


def test_what_fits_is_let_through():
    check_memory("m", shape_of(QWEN_7B), QLORA, "cuda", free=8 * GIB, total=8 * GIB)
    check_ram("m", shape_of(QWEN_7B), "cuda", 16 * GIB)


def test_a_machine_without_memory_for_the_largest_tensor_is_refused():
    with pytest.raises(NotEnoughMemory, match=r"takes 3\.0 GiB"):
        check_ram("m", shape_of(QWEN_7B), "cuda", 2 * GIB)


def test_a_model_of_an_unknown_kind_has_no_arithmetic():
    assert shape_of({"model_type": "mamba", "d_model": 2560}) is None
    assert shape_of(QWEN_7B | {"num_attention_heads": 0}) is None
