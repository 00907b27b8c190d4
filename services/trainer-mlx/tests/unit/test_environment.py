from __future__ import annotations

from pathlib import Path

import pytest

from forge_trainer_mlx.environment import child_environment, find_openblas
from forge_trainer_mlx.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, threads=3, openblas=Path("/opt/libopenblas.so.0"))


def test_on_linux_the_child_gets_a_fast_blas_with_the_threads_asked_for(settings):
    environment = child_environment(settings, {}, platform="linux")

    assert environment["LD_PRELOAD"] == "/opt/libopenblas.so.0"
    assert environment["OPENBLAS_NUM_THREADS"] == "3"
    assert environment["MLX_DISABLE_COMPILE"] == "1"


def test_what_was_preloaded_before_stays(settings):
    environment = child_environment(settings, {"LD_PRELOAD": "/lib/libother.so"}, platform="linux")

    assert environment["LD_PRELOAD"].split(":") == ["/opt/libopenblas.so.0", "/lib/libother.so"]


def test_a_mac_needs_none_of_it(settings):
    environment = child_environment(settings, {}, platform="darwin")

    assert not {"LD_PRELOAD", "MLX_DISABLE_COMPILE", "OPENBLAS_NUM_THREADS"} & environment.keys()


def test_the_child_never_asks_the_model_hub(settings):
    assert child_environment(settings, {}, platform="darwin")["HF_HUB_OFFLINE"] == "1"


def test_an_openblas_wheel_is_found_where_the_system_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr("forge_trainer_mlx.environment.find_library", lambda _: None)
    wheel = tmp_path / "cmeel.prefix/lib/libopenblas.so.0"
    wheel.parent.mkdir(parents=True)
    wheel.touch()

    assert find_openblas(tmp_path) == str(wheel)
    assert find_openblas(tmp_path / "elsewhere") is None
