"""Both stages of a run on the nano model, in child processes, with artifacts over HTTP."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import psutil
import pytest

from forge_common.artifacts import ArtifactClient, sha256_of
from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.stages import ExportRequest, PrepareRequest, StageClaim, TrainRequest
from forge_common.queue.child import ChildDied
from forge_common.queue.stage import Beat
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.testing.trainers.shared import Witness, at, push_base
from forge_common.weights.adapter import read_adapter
from forge_common.weights.architectures import ArchitectureUnknown
from forge_common.weights.estimate import NotEnoughMemory
from forge_common.weights.export import ExportUnfaithful, Greedy, export
from forge_common.weights.stages import WrongStage, check_fits, work
from forge_trainer_cuda.generate import greedy
from forge_trainer_cuda.jobs import GreedyJob

pytestmark = pytest.mark.integration


def claim(request, run="run_1"):
    return StageClaim(
        stage_id=StageId("stage_1"), run_id=RunId(run), token=1, lease_s=30.0, attempt=1, request=request
    )


@pytest.fixture(scope="module")
def train_request(nano_base, nano_dataset, make_domain):
    return TrainRequest(domain=make_domain(), dataset=nano_dataset, base=nano_base)


@pytest.fixture(scope="module")
def trained(bench, train_request):
    return work(claim(train_request), Beat(), bench)


@pytest.fixture(scope="module")
def exported(bench, trained, train_request, nano_base, nano_dataset):
    request = ExportRequest(
        domain=train_request.domain, base=nano_base, adapter=trained.adapter.sha256, dataset=nano_dataset
    )
    return work(claim(request), Beat(), bench)


class HereAndNow:
    """The same reference as the worker's, without a process of its own."""

    def greedy(self, base, prompts, adapters, max_tokens):
        names = tuple(None if adapter is None else str(adapter) for adapter in adapters)
        job = GreedyJob(
            base=str(base), prompts=tuple(prompts), adapters=names, max_tokens=max_tokens, device="cpu"
        )
        return [[Greedy(a.tokens, a.text, a.first_logprob) for a in each] for each in greedy(job).answers]


class Swapped(HereAndNow):
    """The weights' own answers, each to another question."""

    def greedy(self, base, prompts, adapters, max_tokens):
        return [each[1:] + each[:1] for each in super().greedy(base, prompts, adapters, max_tokens)]


def children():
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "forge_trainer_cuda.child" in " ".join(process.cmdline())
    ]


def test_a_trained_adapter_is_a_bundle_in_pefts_layout(bench, trained, tmp_path):
    folder = bench.artifacts.fetch_bundle(trained.adapter.sha256, tmp_path / "adapter")

    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert read_adapter(folder).rank == 8


def test_a_base_that_cannot_fit_is_refused_before_its_weights_are_fetched(
    bench, train_request, nano_base, tmp_path
):
    small = replace(
        bench,
        memory_bytes=64 << 20,
        artifacts=ArtifactClient(bench.artifacts.base_url, None, tmp_path / "cache"),
        settings=bench.settings.model_copy(update={"home": tmp_path / "small"}),
    )

    with pytest.raises(NotEnoughMemory, match=f"{nano_base.name} by lora needs"):
        work(claim(train_request), Beat(), small)

    fetched = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert fetched < 100_000
    assert not (small.settings.workdir / "bases").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "mamba"}, "'mamba' cannot be written"),
        ({"quantization": {"bits": 4}}, "already quantised"),
    ],
)
def test_a_base_that_nobody_can_export_is_refused_before_its_weights_are_fetched(
    bench, train_request, tmp_path, changed, said
):
    base = write_tiny_model(tmp_path / "odd", **changed)
    sender = ArtifactClient(bench.artifacts.base_url, None, tmp_path / "sender")
    ref = push_base(sender, base, "odd")
    fresh = replace(bench, artifacts=ArtifactClient(bench.artifacts.base_url, None, tmp_path / "cache"))

    with pytest.raises(ArchitectureUnknown, match=said):
        work(claim(train_request.model_copy(update={"base": ref})), Beat(), fresh)

    weights = sha256_of(base / "model.safetensors")
    assert not any(path.name == weights for path in (tmp_path / "cache").rglob("*"))


def test_the_runs_own_budget_counts_as_the_memory_that_there_is(bench, train_request):
    rules = train_request.domain.training.model_copy(update={"max_memory_gb": 0.1})

    with pytest.raises(NotEnoughMemory, match=r"free of 0\.1 GiB"):
        check_fits(train_request.base, rules, bench, Beat())


def test_the_nano_model_learns_in_seconds(trained):
    losses = [point.train_loss for point in trained.curve]

    assert losses[-1] < 0.7 * losses[0]
    assert trained.valid_loss < losses[0]
    assert trained.tokens > 0
    assert {"torch", "transformers", "peft", "accelerate", "bitsandbytes"} <= set(trained.versions)
    assert {"forge-trainer-cuda", "forge-common", "jinja2", "numpy", "safetensors", "tokenizers"} <= set(
        trained.versions
    )
    assert trained.environment["threads"] == "1"
    assert {"python", "platform", "processor"} <= set(trained.environment)
    assert trained.peak_memory_bytes > 50e6


def test_llama_cpp_answers_as_the_trained_weights_do(exported):
    assert exported.compared == 16
    assert exported.verified >= 15
    assert exported.fused_gguf is None
    assert exported.adapter_gguf.size < exported.base_gguf.size


def test_probes_tell_the_version_from_its_base(exported):
    assert [p.messages for p in exported.probes] == [p.messages for p in exported.base_probes]
    assert [p.text for p in exported.probes] != [p.text for p in exported.base_probes]
    assert all(probe.first_logprob <= 0.0 for probe in exported.probes)


def test_an_export_leaves_only_the_base_and_the_downloads_behind(bench, exported):
    assert list((bench.settings.workdir / "runs").glob("*")) == []
    assert list(bench.settings.workdir.glob("export-*")) == []


def test_a_fused_export_answers_as_the_adapter_on_its_base_does(  # noqa: PLR0917
    bench, trained, exported, nano_base, nano_dataset, make_domain
):
    request = ExportRequest(
        domain=make_domain(mode="fused"),
        base=nano_base,
        base_gguf=exported.base_gguf,
        adapter=trained.adapter.sha256,
        dataset=nano_dataset,
    )

    fused = export(request, bench.artifacts, bench.settings.workdir, Beat(), HereAndNow())

    assert (fused.adapter_gguf, fused.base_gguf) == (None, exported.base_gguf)
    assert fused.fused_gguf.sha256 != fused.base_gguf.sha256
    assert fused.verified >= 15
    assert [p.tokens for p in fused.probes] == [p.tokens for p in exported.probes]


def test_a_bare_base_is_exported_for_version_zero_in_eight_bits(bench, nano_base, make_domain, exported):
    request = ExportRequest(domain=make_domain(quant="q8_0"), base=nano_base)

    result = export(request, bench.artifacts, bench.settings.workdir, Beat(), HereAndNow())

    assert (result.adapter_gguf, result.fused_gguf, result.probes) == (None, None, ())
    assert len(result.base_probes) == result.compared > 0
    assert result.base_gguf.size < 0.6 * exported.base_gguf.size


def test_a_file_that_answers_differently_is_refused_and_not_uploaded(bench, nano_base, make_domain):
    request = ExportRequest(domain=make_domain(), base=nano_base)
    store = bench.settings.home.parent / "store"
    stored = set(store.rglob("*"))

    with pytest.raises(ExportUnfaithful, match="base model"):
        export(request, bench.artifacts, bench.settings.workdir, Beat(), Swapped())

    assert stored
    assert set(store.rglob("*")) == stored


def test_a_killed_training_is_worth_retrying_and_the_retry_gives_the_same(bench, train_request, trained):
    def kill():
        for process in children():
            os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(ChildDied) as caught:
        work(claim(train_request, "run_killed"), Witness(at(6, kill)), bench)
    watcher = Witness()
    resumed = work(claim(train_request, "run_killed"), watcher, bench)

    assert caught.value.retryable
    assert watcher.steps[0] > 1
    assert resumed.curve == trained.curve
    assert resumed.adapter == trained.adapter


def test_a_stage_of_another_kind_is_refused(bench, make_domain):
    with pytest.raises(WrongStage, match="prepare"):
        work(claim(PrepareRequest(domain=make_domain())), Beat(), bench)


def test_training_goes_on_from_an_adapter_in_the_store_and_does_without_an_erased_dataset(
    bench, trained, nano_base, nano_dataset, make_domain
):
    request = TrainRequest(
        domain=make_domain(replay=0.5, learning_rate=1e-5, epochs=1),
        dataset=nano_dataset,
        base=nano_base,
        parent=trained.adapter.sha256,
        replay="0" * 64,
    )

    further = work(claim(request, run="run_2"), Beat(), bench)

    assert further.curve[0].train_loss < trained.curve[0].train_loss
    assert further.environment["python"]
