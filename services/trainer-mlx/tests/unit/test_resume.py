from __future__ import annotations

import numpy as np
import pytest

from forge_common.contracts.stages import CurvePoint
from forge_common.weights.training import Standing

mx = pytest.importorskip("mlx.core", reason="mlx is not installed on this machine")
resume = pytest.importorskip("forge_trainer_mlx.resume")

STANDING = Standing(
    job="a", step=20, tokens=400, curve=(CurvePoint(step=20, train_loss=1.5),), best_step=20, stale=1
)


def checkpoint(value: float = 1.0) -> resume.Checkpoint:
    weights = {"layers.0.lora_a": mx.array([value, 2.0])}
    optimizer = {"step": mx.array(20, mx.uint64), "layers": [{"lora_a": {"m": mx.array([0.5])}}]}
    return resume.Checkpoint(STANDING, weights, {"layers.0.lora_a": mx.array([3.0])}, optimizer)


def test_everything_comes_back(tmp_path):
    resume.save(tmp_path / "c.safetensors", checkpoint())

    back = resume.load(tmp_path / "c.safetensors", "a")

    assert back.standing == STANDING
    assert back.weights["layers.0.lora_a"].tolist() == [1.0, 2.0]
    assert back.best["layers.0.lora_a"].tolist() == [3.0]
    assert back.optimizer["step"].item() == 20
    assert back.optimizer["layers"][0]["lora_a"]["m"].tolist() == [0.5]


def test_random_numbers_go_on_where_they_were(tmp_path):
    mx.random.seed(3)
    mx.random.uniform(shape=(4,))
    resume.save(tmp_path / "c.safetensors", checkpoint())
    expected = np.array(mx.random.uniform(shape=(4,)))
    mx.random.seed(99)

    resume.load(tmp_path / "c.safetensors", "a")

    assert np.array_equal(np.array(mx.random.uniform(shape=(4,))), expected)


def test_a_checkpoint_of_another_job_is_ignored(tmp_path):
    resume.save(tmp_path / "c.safetensors", checkpoint())

    assert resume.load(tmp_path / "c.safetensors", "b") is None


def test_a_save_cut_short_leaves_the_last_whole_one(tmp_path):
    resume.save(tmp_path / "c.safetensors", checkpoint(1.0))
    (tmp_path / "aside.safetensors").write_bytes(b"half a fi")

    assert resume.load(tmp_path / "c.safetensors", "a").weights["layers.0.lora_a"].tolist() == [1.0, 2.0]


def test_where_nothing_was_saved_there_is_nothing_to_go_on_with(tmp_path):
    assert resume.load(tmp_path / "c.safetensors", "a") is None
