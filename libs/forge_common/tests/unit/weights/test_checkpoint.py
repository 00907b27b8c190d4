"""Reading and writing tensors in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from forge_common.testing.tiny_model import write_tensors
from forge_common.weights import checkpoint
from forge_common.weights.checkpoint import (
    Checkpoint,
    UnsupportedWeights,
    blocks,
    rope_theta,
    with_rope_theta,
    write_safetensors,
)
from forge_common.weights.tokenizer import ModelFolderBroken

RANDOM = np.random.default_rng(0)
TENSORS = {"a.weight": RANDOM.standard_normal((7, 5)).astype(np.float32), "b": np.ones(3, np.float32)}


def test_bfloat16_is_read_exactly(tmp_path):
    # 1.0, -2.5 and 2^-20 have short mantissas: bfloat16 holds them as they are.
    exact = {"x": np.array([[1.0, -2.5, 2.0**-20]], np.float32)}
    write_tensors(tmp_path / "model.safetensors", exact, "BF16")

    assert np.array_equal(Checkpoint(tmp_path).tensor("x"), exact["x"])


@pytest.mark.parametrize(("dtype", "tolerance"), [("F32", 0.0), ("F16", 1e-3), ("BF16", 1e-2)])
def test_rows_in_the_middle_are_those_of_the_tensor(tmp_path, dtype, tolerance):
    write_tensors(tmp_path / "model.safetensors", TENSORS, dtype)

    rows = Checkpoint(tmp_path).rows("a.weight", 2, 5)

    assert rows.dtype == np.float32
    assert np.allclose(rows, TENSORS["a.weight"][2:5], rtol=tolerance)


def test_tensors_of_all_shards_are_found(tmp_path):
    write_tensors(tmp_path / "model-00001.safetensors", {"a.weight": TENSORS["a.weight"]}, "F32")
    write_tensors(tmp_path / "model-00002.safetensors", {"b": TENSORS["b"]}, "F32")

    assert sorted(Checkpoint(tmp_path).names()) == ["a.weight", "b"]


def test_what_is_written_in_blocks_is_read_back_by_the_safetensors_library(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "BLOCK_NUMBERS", 10)  # two rows of `a.weight` at a time
    write_tensors(tmp_path / "model.safetensors", TENSORS, "F32")
    (tmp_path / "out").mkdir()

    out = tmp_path / "out" / "model.safetensors"
    write_safetensors(out, Checkpoint(tmp_path), {"a.weight": "F32", "b": "F16"})

    found = load_file(out)
    assert np.array_equal(found["a.weight"], TENSORS["a.weight"])
    assert found["b"].dtype == np.float16


def test_blocks_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(checkpoint, "BLOCK_NUMBERS", 10)

    assert list(blocks((7, 5))) == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert list(blocks((3, 100))) == [(0, 1), (1, 2), (2, 3)]
    assert list(blocks((25,))) == [(0, 10), (10, 20), (20, 25)]


def test_a_number_that_does_not_fit_is_refused_not_written_as_infinity(tmp_path):
    write_tensors(tmp_path / "model.safetensors", {"big": np.full((2, 2), 1e6, np.float32)}, "F32")

    with pytest.raises(UnsupportedWeights, match="big"):
        write_safetensors(tmp_path / "out.safetensors", Checkpoint(tmp_path), {"big": "F16"})


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, TENSORS, "F32")
    path.write_bytes(path.read_bytes()[:-4])

    with pytest.raises(ModelFolderBroken, match="cut short"):
        Checkpoint(tmp_path).tensor("b")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(ModelFolderBroken):
        Checkpoint(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ModelFolderBroken, match="no safetensors"):
        Checkpoint(tmp_path)


def test_quantised_tensors_are_refused(tmp_path):
    header = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")

    with pytest.raises(UnsupportedWeights, match="U8"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    "config",
    [{"rope_theta": 5e5}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}],
)
def test_the_rope_base_is_written_under_both_keys(config):
    complete = with_rope_theta(config)

    assert complete["rope_theta"] == 5e5
    assert complete["rope_parameters"] == {"rope_type": "default", "rope_theta": 5e5}


def test_rope_scaling_survives_under_the_new_key():
    complete = with_rope_theta({"rope_theta": 1e4, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}})

    assert complete["rope_parameters"] == {"rope_type": "llama3", "factor": 8.0, "rope_theta": 1e4}


def test_a_config_without_rope_base_is_refused_rather_than_guessed():
    with pytest.raises(ModelFolderBroken, match="rope_theta"):
        rope_theta({})
