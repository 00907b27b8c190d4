"""The worker's own view of its machine, found out by a real child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from forge_common.queue.child import ChildFailed
from forge_common.weights.worker import hello
from forge_trainer_mlx.environment import find_openblas
from forge_trainer_mlx.worker import find_device, make_bench

pytestmark = pytest.mark.integration


def test_a_worker_says_what_machine_it_is(settings):
    greeting = hello(make_bench(settings, find_device(settings)))

    assert greeting.queues == ("train.mlx",)
    assert greeting.device.startswith(("cpu (", "metal ("))
    assert greeting.memory_bytes > 2**30
    assert set(greeting.versions) == {"mlx", "mlx-lm", "transformers"}


@pytest.mark.skipif(find_openblas() is None, reason="this machine has no OpenBLAS (or needs none)")
def test_the_child_runs_on_the_openblas_that_was_found(settings):
    assert "slow" not in find_device(settings).label


def test_a_missing_fast_blas_is_said(settings, capfd):
    if sys.platform != "linux":
        pytest.skip("only mlx's CPU build on Linux needs another BLAS")

    device = find_device(settings.model_copy(update={"openblas": Path("/dev/null")}))

    assert "slow BLAS" in device.label
    assert "blas.missing" in "".join(capfd.readouterr())


def test_an_mlx_that_does_not_load_is_explained(settings, tmp_path, monkeypatch):
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx/__init__.py").write_text("raise ImportError('version `GLIBC_2.35` not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(ChildFailed, match="GLIBC") as caught:
        find_device(settings)

    assert caught.value.code == "mlx_unusable"
    assert "forge worker cpu" in caught.value.fix


def test_the_worker_process_never_loads_mlx():
    program = "import sys, forge_trainer_mlx.worker, forge_trainer_mlx.__main__; print([m for m in sys.modules if m.split('.')[0] in {'mlx', 'mlx_lm', 'torch'}])"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


def test_the_child_never_loads_torch():
    program = "import sys; from forge_trainer_mlx.child import start_mlx; start_mlx(0.5); import forge_trainer_mlx.train, forge_trainer_mlx.reference; print([m for m in sys.modules if sys.modules[m] and m.split('.')[0] in {'torch', 'peft', 'bitsandbytes'}])"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert loaded.stdout.splitlines()[-1] == "[]"
