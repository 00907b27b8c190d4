"""What a training needs of a card, by arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forge_trainer_cuda.footprint import (
    GIB,
    MOST_TOKENS,
    Shape,
    choose,
    is_divided,
    profile,
    table,
    tokens_that_fit,
)

QWEN_7B = Shape.of(
    {
        "num_hidden_layers": 28,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    }
)


def test_the_weights_of_a_7b_are_counted_as_published():
    assert QWEN_7B.block_weights * 28 == pytest.approx(28 * 233.0e6, rel=1e-3)
    assert QWEN_7B.multiplied == pytest.approx(7.07e9, rel=1e-3)


def test_a_7b_trains_in_4_bits_on_an_8_gb_card_with_its_embedding_in_the_cpus_memory():
    choice = choose(QWEN_7B, "qlora", 16, int(7.5 * GIB))

    assert choice is not None
    assert choice.profile.total < 7.5 * GIB
    assert (choice.tokens, choice.embedding_on_card) == (4096, False)
    assert f"{choice.profile.total / GIB:.2f} GiB" in table(choice)
    assert "DPO takes the same: both rows of a pair go at once, so up to 2048 tokens each" in table(choice)


def test_with_room_the_embedding_stays_and_the_most_tokens_go_at_once():
    choice = choose(QWEN_7B, "lora", 16, 40 * GIB)

    assert choice is not None
    assert (choice.tokens, choice.embedding_on_card) == (MOST_TOKENS, True)


def test_a_7b_in_16_bits_does_not_fit_into_8_gb():
    assert choose(QWEN_7B, "lora", 16, int(7.5 * GIB)) is None


def test_tokens_that_fit_beside_the_base_really_fit():
    fixed = profile(QWEN_7B, "qlora", 16, 1)
    resting = fixed.weights + fixed.embeddings + fixed.adapter // 2
    for free in (3 * GIB, 4 * GIB):
        tokens = tokens_that_fit(QWEN_7B, "qlora", 16, free)
        needed = profile(QWEN_7B, "qlora", 16, tokens).total - resting * 1.05

        assert 512 < tokens < MOST_TOKENS
        assert needed == pytest.approx(free, rel=0.02)


def test_a_base_is_divided_only_where_no_card_holds_it_and_all_together_do():
    llama_70b = replace(QWEN_7B, layers=80, width=8192, inner=28672, heads=64, kv_heads=8, vocabulary=128256)

    assert not is_divided(QWEN_7B, "lora", 16, 70 * GIB, 4)
    assert is_divided(llama_70b, "lora", 16, 70 * GIB, 4)
    assert not is_divided(llama_70b, "lora", 16, 20 * GIB, 4)
    assert not is_divided(llama_70b, "lora", 16, 70 * GIB, 1)
    # In 4 bits one card holds it, and shares of NF4 are none.
    assert not is_divided(llama_70b, "qlora", 16, 20 * GIB, 4)


def test_a_divided_base_weighs_its_share_two_whole_blocks_and_its_tables():
    whole, divided = (profile(QWEN_7B, "lora", 16, 4096, cards=cards) for cards in (1, 4))

    assert divided.weights == whole.weights // 4 + 2 * QWEN_7B.block_weights * 2
    assert divided.embeddings == whole.embeddings
    assert divided.adapter == whole.adapter


def test_four_bits_weigh_about_a_quarter_of_sixteen():
    four, sixteen = (profile(QWEN_7B, method, 16, 4096).weights for method in ("qlora", "lora"))

    assert 3.8 < sixteen / four < 3.9
