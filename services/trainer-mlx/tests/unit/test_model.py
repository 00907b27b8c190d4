from __future__ import annotations

import os

import numpy as np
import pytest

from forge_common.contracts.domain import TrainingRules
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.adapter import Adapter, AdapterInvalid, Pair
from forge_common.weights.architectures import ArchitectureUnknown

mx = pytest.importorskip("mlx.core", reason="mlx is not installed on this machine")
model = pytest.importorskip("forge_trainer_mlx.model", reason="mlx-lm is not installed on this machine")
memory = pytest.importorskip("forge_trainer_mlx.memory", reason="mlx-lm is not installed on this machine")

RULES = TrainingRules(rank=1, alpha=4)


def test_both_halves_are_turned_for_peft():
    # x @ lora_a @ lora_b with x = (1, 0, 0) is (10, 20); in PEFT's layout B @ A @ x must say the same.
    weights = {
        "model.layers.0.self_attn.q_proj.lora_a": mx.array([[1.0], [2.0], [3.0]]),
        "model.layers.0.self_attn.q_proj.lora_b": mx.array([[10.0, 20.0]]),
    }

    adapter = model.to_peft(weights, RULES)

    pair = adapter.pairs["model.layers.0.self_attn.q_proj.weight"]
    assert pair.a.tolist() == [[1.0, 2.0, 3.0]]
    assert pair.b.tolist() == [[10.0], [20.0]]
    assert (pair.b @ pair.a @ [1, 0, 0]).tolist() == [10.0, 20.0]
    assert adapter.scale == 4.0


def test_a_fresh_lora_is_on_every_linear_layer_and_changes_nothing(tmp_path):
    base = write_tiny_model(tmp_path)
    tokens = mx.array([[5, 9, 30, 2]])

    adapted = model.load_trainable(base, TrainingRules(rank=4))

    names = {name.split(".")[-2] for name in model.trained_weights(adapted)}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(model.trained_weights(adapted)) == 2 * 7 * 2
    bare = model.load_for_reading(base)
    assert np.array_equal(np.array(adapted(tokens)), np.array(bare(tokens)))


def test_the_seed_fixes_the_initial_weights(tmp_path):
    base = write_tiny_model(tmp_path)

    first, same, other = (
        np.array(model.trained_weights(model.load_trainable(base, TrainingRules(seed=seed)))[NAME])
        for seed in (1, 1, 2)
    )

    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


NAME = "model.layers.0.mlp.up_proj.lora_a"


def test_an_adapter_adds_what_its_pairs_say(tmp_path):
    base = write_tiny_model(tmp_path)
    random = np.random.default_rng(0)
    pair = Pair(
        a=random.normal(size=(2, 64)).astype(np.float32), b=random.normal(size=(64, 2)).astype(np.float32)
    )
    loaded = model.load_for_reading(base)
    x = random.normal(size=(1, 64)).astype(np.float32)
    before = np.array(loaded.layers[1].self_attn.o_proj(mx.array(x)))

    model.load_adapter(loaded, Adapter({"model.layers.1.self_attn.o_proj.weight": pair}, rank=2, alpha=6.0))

    after = np.array(loaded.layers[1].self_attn.o_proj(mx.array(x)))
    np.testing.assert_allclose(after - before, 3.0 * x @ (pair.b @ pair.a).T, rtol=1e-4, atol=1e-4)


def test_an_adapter_of_another_base_is_refused(tmp_path):
    loaded = model.load_for_reading(write_tiny_model(tmp_path))
    pair = Pair(a=np.zeros((2, 128), np.float32), b=np.zeros((64, 2), np.float32))

    with pytest.raises(AdapterInvalid, match="does not fit"):
        model.load_adapter(loaded, Adapter({"model.layers.1.self_attn.o_proj.weight": pair}, rank=2, alpha=4))


def test_rope_is_read_where_transformers_5_keeps_it():
    config = {"model_type": "qwen2", "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}

    assert model.rope_settings(config) == {"rope_theta": 1e4}


def test_stretched_rope_is_handed_on():
    stretched = {
        "rope_type": "llama3",
        "rope_theta": 5e5,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }

    settings = model.rope_settings({"model_type": "llama", "rope_parameters": stretched})

    assert settings == {"rope_theta": 5e5, "rope_scaling": stretched}


def test_a_family_that_could_not_be_exported_is_refused_before_training():
    with pytest.raises(ArchitectureUnknown):
        model.rope_settings({"model_type": "mamba", "rope_theta": 1e4})


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("at_once", [1, 2**25])
def test_log_probabilities_and_their_gradients_are_those_of_all_logits(
    tmp_path, monkeypatch, family, tied, at_once
):
    loaded = model.load_for_reading(write_tiny_model(tmp_path, family, tied=tied))
    tokens, places, targets = mx.array([[5, 9, 30], [2, 40, 7]]), mx.array([1, 4, 5]), mx.array([30, 7, 11])
    weights = {"weight": loaded.layers[1].mlp.down_proj.weight}

    def of_all(weights):
        loaded.layers[1].mlp.down_proj.update(weights)
        logits = loaded(tokens).reshape(6, -1)[places]
        return (logits - mx.logsumexp(logits, axis=-1, keepdims=True))[mx.arange(3), targets].sum()

    def in_pieces(weights):
        loaded.layers[1].mlp.down_proj.update(weights)
        return model.log_probabilities(loaded, tokens, places, targets).sum()

    monkeypatch.setattr(model, "LOGITS_AT_ONCE", at_once)
    expected, wanted = mx.value_and_grad(of_all)(weights)
    found, got = mx.value_and_grad(in_pieces)(weights)

    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(np.array(got["weight"]), np.array(wanted["weight"]), rtol=1e-4, atol=1e-6)


def test_a_dora_adapter_scales_every_row_to_its_magnitude_and_leaves_the_base_as_it_was(tmp_path):
    base = write_tiny_model(tmp_path)
    random = np.random.default_rng(0)
    pair = Pair(
        a=random.normal(size=(2, 64)).astype(np.float32),
        b=random.normal(size=(64, 2)).astype(np.float32),
        magnitude=random.uniform(0.5, 2, 64).astype(np.float32),
    )
    loaded = model.load_for_reading(base)
    x = random.normal(size=(1, 64)).astype(np.float32)
    before, weight = (
        np.array(loaded.layers[1].self_attn.o_proj(mx.array(x))),
        np.array(loaded.layers[1].self_attn.o_proj.weight),
    )

    model.load_adapter(loaded, Adapter({"model.layers.1.self_attn.o_proj.weight": pair}, rank=2, alpha=6.0))

    updated = weight + 3.0 * pair.b @ pair.a
    expected = pair.magnitude[:, None] * updated / np.linalg.norm(updated, axis=1, keepdims=True)
    after = np.array(loaded.layers[1].self_attn.o_proj(mx.array(x)))
    np.testing.assert_allclose(after, x @ expected.T, rtol=1e-3, atol=1e-4)
    model.remove_adapter(loaded)
    assert np.array_equal(np.array(loaded.layers[1].self_attn.o_proj(mx.array(x))), before)


@pytest.fixture
def limits():
    """What mlx was told is put back: it holds for the whole process."""
    before = mx.get_memory_limit()
    yield
    mx.set_memory_limit(before)


def test_mlx_is_told_how_much_of_the_machine_it_may_take(limits):
    model.prepare_device(0.25)

    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if not mx.metal.is_available():
        assert mx.get_memory_limit() == int(0.25 * machine)
    assert memory.budget_bytes(None) == mx.get_memory_limit()
    assert memory.budget_bytes(1.5) == min(3 * 2**29, mx.get_memory_limit())


def test_on_metal_both_limits_are_a_share_of_its_working_set(limits, monkeypatch):
    """Only the device is made up: no Mac runs these tests."""
    wired = []
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    working_set = {"max_recommended_working_set_size": 48 << 30, "device_name": "Apple M4 Max"}
    monkeypatch.setattr(mx, "device_info", lambda: working_set)
    monkeypatch.setattr(mx, "set_wired_limit", wired.append)

    label = model.prepare_device(0.5)

    assert label == "metal (Apple M4 Max)"
    assert wired == [24 << 30]
    assert mx.get_memory_limit() == 24 << 30
