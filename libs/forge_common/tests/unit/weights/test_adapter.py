"""Adapters in PEFT's layout, and merging."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights import checkpoint
from forge_common.weights.adapter import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Adapter,
    AdapterInvalid,
    Pair,
    merge,
    read_adapter,
    write_adapter_folder,
)
from forge_common.weights.checkpoint import Checkpoint
from forge_common.weights.gguf_writer import write_adapter

Q0 = "model.layers.0.self_attn.q_proj.weight"
DOWN1 = "model.layers.1.mlp.down_proj.weight"


def make_pair(out, inner, rank=4, seed=0):
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((rank, inner)), random.standard_normal((out, rank))
    return Pair(a=a.astype(np.float32), b=b.astype(np.float32))


@pytest.fixture
def base(tmp_path):
    return write_tiny_model(tmp_path / "base")


@pytest.fixture
def adapter():
    return Adapter(pairs={Q0: make_pair(64, 64), DOWN1: make_pair(64, 128, seed=1)}, rank=4, alpha=8.0)


@pytest.fixture
def folder(adapter, tmp_path):
    write_adapter_folder(tmp_path / "adapter", adapter, base_name="tiny")
    return tmp_path / "adapter"


def test_an_adapter_is_written_in_pefts_layout(folder):
    config = json.loads((folder / CONFIG_FILE).read_text())

    assert set(load_file(folder / WEIGHTS_FILE)) == {
        f"base_model.model.{name.removesuffix('.weight')}.lora_{half}.weight"
        for name in (Q0, DOWN1)
        for half in "AB"
    }
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (4, 8.0, "LORA")
    assert config["target_modules"] == ["down_proj", "q_proj"]


def test_an_adapter_is_read_back_as_it_was(folder, adapter):
    found = read_adapter(folder)

    assert (found.rank, found.scale) == (4, 2.0)
    assert all(np.array_equal(found.pairs[name].a, adapter.pairs[name].a) for name in adapter.pairs)
    assert all(np.array_equal(found.pairs[name].b, adapter.pairs[name].b) for name in adapter.pairs)


def test_the_same_adapter_is_the_same_bytes(folder, adapter, tmp_path):
    write_adapter_folder(tmp_path / "again", adapter, base_name="tiny")

    for name in (WEIGHTS_FILE, CONFIG_FILE):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_merging_adds_scale_times_b_times_a_and_nothing_else(base, folder, adapter, tmp_path):
    merge(base, folder, tmp_path / "merged")

    before, after = Checkpoint(base), Checkpoint(tmp_path / "merged")
    pair = adapter.pairs[Q0]
    assert np.allclose(after.tensor(Q0), before.tensor(Q0) + 8.0 / 4 * pair.b @ pair.a, atol=1e-5)
    untouched = [name for name in before.names() if name not in adapter.pairs]
    assert all(np.array_equal(after.tensor(name), before.tensor(name)) for name in untouched)


def test_a_merged_bfloat16_base_is_stored_as_f16_and_says_so(folder, adapter, tmp_path):
    base = write_tiny_model(tmp_path / "bf16", dtype="BF16")

    merge(base, folder, tmp_path / "merged")

    merged = Checkpoint(tmp_path / "merged")
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert {stored.dtype for stored in merged.stored.values()} == {"F16"}
    assert config["dtype"] == "float16"
    # An update of one part in a thousand is lost in bfloat16 (8 bits) and kept in f16 (11 bits).
    expected = Checkpoint(base).tensor(Q0) + 2.0 * adapter.pairs[Q0].b @ adapter.pairs[Q0].a
    assert np.allclose(merged.tensor(Q0), expected, rtol=2**-10, atol=1e-3)


def test_a_merged_folder_is_whole(base, folder, tmp_path):
    merge(base, folder, tmp_path / "merged")

    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert names == {path.name for path in base.iterdir()}
    assert (
        json.loads((tmp_path / "merged" / "config.json").read_text())["rope_parameters"]["rope_theta"] == 1e6
    )


def test_an_adapter_of_another_width_is_refused(base, tmp_path):
    other = Adapter(pairs={Q0: make_pair(128, 128)}, rank=4, alpha=8.0)
    write_adapter_folder(tmp_path / "other", other, base_name="other")

    with pytest.raises(AdapterInvalid, match=r"128x128.*64x64"):
        merge(base, tmp_path / "other", tmp_path / "merged")


def test_an_adapter_of_another_depth_is_refused(base, tmp_path):
    other = Adapter(pairs={Q0.replace(".0.", ".9."): make_pair(64, 64)}, rank=4, alpha=8.0)
    write_adapter_folder(tmp_path / "other", other, base_name="other")

    with pytest.raises(AdapterInvalid, match="does not have"):
        merge(base, tmp_path / "other", tmp_path / "merged")


@pytest.mark.parametrize("key", ["use_rslora", "modules_to_save", "rank_pattern"])
def test_what_is_more_than_plain_lora_is_refused(folder, key):
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: True}))

    with pytest.raises(AdapterInvalid, match=key):
        read_adapter(folder)


def test_half_a_pair_is_refused(folder):
    tensors = load_file(folder / WEIGHTS_FILE)
    tensors.pop(f"base_model.model.{Q0.removesuffix('.weight')}.lora_B.weight")
    from safetensors.numpy import save_file

    save_file(tensors, folder / WEIGHTS_FILE)

    with pytest.raises(AdapterInvalid, match="only half"):
        read_adapter(folder)


def test_a_folder_that_is_no_adapter_is_refused(tmp_path):
    with pytest.raises(AdapterInvalid):
        read_adapter(tmp_path)


@pytest.fixture
def dora(adapter):
    random = np.random.default_rng(9)
    return replace(
        adapter,
        pairs={
            name: replace(pair, magnitude=random.uniform(0.5, 2, pair.b.shape[0]).astype(np.float32))
            for name, pair in adapter.pairs.items()
        },
    )


@pytest.fixture
def dora_folder(dora, tmp_path):
    write_adapter_folder(tmp_path / "dora", dora, base_name="tiny")
    return tmp_path / "dora"


def test_doras_magnitudes_are_written_in_pefts_layout_and_read_back(dora, dora_folder):
    found = read_adapter(dora_folder)

    assert found.is_dora
    assert all(np.array_equal(found.pairs[name].magnitude, dora.pairs[name].magnitude) for name in dora.pairs)
    assert json.loads((dora_folder / CONFIG_FILE).read_text())["use_dora"] is True
    assert f"base_model.model.{Q0.removesuffix('.weight')}.lora_magnitude_vector" in load_file(
        dora_folder / WEIGHTS_FILE
    )


def test_every_row_of_a_merged_dora_has_its_magnitude_and_the_updates_direction(
    base, dora, dora_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "BLOCK_NUMBERS", 640)  # ten rows at once: blocks change nothing

    merge(base, dora_folder, tmp_path / "merged")

    after, pair = Checkpoint(tmp_path / "merged").tensor(Q0), dora.pairs[Q0]
    updated = Checkpoint(base).tensor(Q0) + 2.0 * pair.b @ pair.a
    lengths = np.linalg.norm(updated, axis=1, keepdims=True)
    assert np.allclose(np.linalg.norm(after, axis=1), pair.magnitude, rtol=1e-5)
    assert np.allclose(after / pair.magnitude[:, None], updated / lengths, atol=1e-5)


@pytest.mark.parametrize("says_dora", [True, False])
def test_magnitudes_and_the_config_must_agree(folder, dora_folder, says_dora):
    path = (folder if says_dora else dora_folder) / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": says_dora}))

    with pytest.raises(AdapterInvalid, match="magnitude"):
        read_adapter(path.parent)


def test_a_dora_adapter_is_no_adapter_gguf(base, dora_folder, tmp_path):
    with pytest.raises(AdapterInvalid, match="DoRA") as refused:
        write_adapter(base, dora_folder, tmp_path / "adapter.gguf")

    assert "deploy.mode to fused" in refused.value.fix
