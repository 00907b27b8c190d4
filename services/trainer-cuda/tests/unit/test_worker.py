"""The worker process: which queue, and that it stays light."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from forge_common.contracts.domain import TrainingRules
from forge_common.queue.stage import Beat
from forge_common.weights.jobs import TrainJob
from forge_common.weights.room import OutOfMemory
from forge_common.weights.worker import hello, make_app, refreshed
from forge_trainer_cuda.hardware import Device
from forge_trainer_cuda.settings import Settings
from forge_trainer_cuda.worker import CardsChild, make_bench, with_half


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, device="cpu", name="t")


@pytest.mark.parametrize(("kind", "queue"), [("cpu", "train.cpu"), ("cuda", "train.cuda")])
def test_the_device_decides_the_queue(settings, kind, queue):
    bench = make_bench(settings, Device(kind, "x", 1))

    app = make_app("memory://", bench)

    assert hello(bench).queues == (queue,)
    assert [each.name for each in app.conf.task_queues] == [queue]
    assert "forge.trainer_cuda.work" in app.tasks


def test_the_worker_process_loads_no_torch():
    program = (
        "import sys, forge_trainer_cuda.worker; "
        "print(sorted({'torch', 'transformers', 'peft', 'xllamacpp'} & set(sys.modules)))"
    )

    reply = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert reply.stdout.strip() == "[]"


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("FORGE_TRAINER_CUDA_DEVICE", "cpu")
    monkeypatch.setenv("FORGE_TRAINER_CUDA_THREADS", "3")
    monkeypatch.setenv("FORGE_REGISTRY_URL", "http://10.0.0.1:1")

    settings = Settings()

    assert (settings.device, settings.registry_url) == ("cpu", "http://10.0.0.1:1")
    assert settings.child_environment()["OMP_NUM_THREADS"] == "3"


def test_threads_of_the_child_sleep_while_they_wait(settings, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    environment = settings.child_environment()

    assert environment["OMP_NUM_THREADS"] == str(os.cpu_count())
    assert (environment["OMP_WAIT_POLICY"], environment["GOMP_SPINCOUNT"]) == ("PASSIVE", "0")


RUNS_OUT = """
import json, os, sys
from forge_common.queue.child import child_main

def work(request, report):
    if request["max_tokens_at_once"] > 256:
        os.abort()
    return {"tokens": request["max_tokens_at_once"], "longest": request["rules"]["max_seq_length"]}

child_main(work)
"""


def test_where_memory_runs_out_with_a_divided_base_half_goes_at_once_and_no_row_is_longer(tmp_path):
    (tmp_path / "runs_out.py").write_text(RUNS_OUT)
    child = CardsChild("runs_out", tmp_path, {}, {"PYTHONPATH": str(tmp_path)})
    job = TrainJob(
        base="b", base_name="b", train="t", valid="v", system_prompt="", workdir="w", max_tokens_at_once=1024,
        rules=TrainingRules(max_seq_length=512),
    )  # fmt: skip

    assert child.run(job, Beat()) == {"tokens": 256, "longest": 256}


def test_less_than_the_shortest_row_is_not_tried():
    job = TrainJob(
        base="b", base_name="b", train="t", valid="v", system_prompt="", workdir="w", max_tokens_at_once=200,
        rules=TrainingRules(),
    )  # fmt: skip

    with pytest.raises(OutOfMemory):
        with_half(job)


def test_a_worker_that_cannot_work_here_says_so_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FORGE_HOME", str(tmp_path))
    monkeypatch.setenv("FORGE_TRAINER_CUDA_DEVICE", "cuda")

    reply = subprocess.run(
        [sys.executable, "-m", "forge_trainer_cuda"], capture_output=True, text=True, check=False
    )

    assert reply.returncode == 1
    assert "nvidia-smi is not there" in reply.stderr
    assert "Traceback" not in reply.stderr


def test_each_hello_says_what_memory_is_in_use_now(settings):
    bench = make_bench(settings, Device("cpu", "x", 64 << 30))

    assert refreshed(hello(bench), bench).memory_used_bytes > 0


def test_a_result_says_which_driver_and_how_many_cards_made_it(settings):
    card = Device("cuda", "H100", 80 << 30, "570.86.10", (9, 0))

    about = make_bench(settings.model_copy(update={"cards": 2}), card).about

    assert (about["driver"], about["cards"]) == ("570.86.10", "2")
    assert make_bench(settings, Device("cpu", "x", 1)).about == {}
