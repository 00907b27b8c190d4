"""A DoRA trained on the nano model, fused and exported in every quantisation, each held against the trained weights."""

from __future__ import annotations

from typing import get_args

import pytest

from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.domain import Quant
from forge_common.contracts.stages import ExportRequest, StageClaim, TrainRequest
from forge_common.queue.stage import Beat
from forge_common.weights import release
from forge_common.weights.adapter import AdapterInvalid, read_adapter
from forge_common.weights.export import ExportUnfaithful, Greedy, export
from forge_common.weights.stages import work
from forge_trainer_cuda.generate import greedy
from forge_trainer_cuda.jobs import GreedyJob

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def dora(bench, nano_base, nano_dataset, make_domain):
    """The adapter's bundle."""
    request = TrainRequest(domain=make_domain("fused", method="dora"), dataset=nano_dataset, base=nano_base)
    claim = StageClaim(
        stage_id=StageId("s"), run_id=RunId("run_dora"), token=1, lease_s=30.0, attempt=1, request=request
    )
    return work(claim, Beat(), bench).adapter.sha256


class Trained:
    """The trained weights' answers, computed once for all exports. `shift` gives each to another question."""

    def __init__(self) -> None:
        self._answers = None
        self.shift = 0

    def greedy(self, base, prompts, adapters, max_tokens):
        if self._answers is None:
            names = tuple(None if adapter is None else str(adapter) for adapter in adapters)
            job = GreedyJob(
                base=str(base), prompts=tuple(prompts), adapters=names, max_tokens=max_tokens, device="cpu"
            )
            self._answers = [
                [Greedy(a.tokens, a.text, a.first_logprob) for a in each] for each in greedy(job).answers
            ]
        return [each[self.shift :] + each[: self.shift] for each in self._answers]


@pytest.fixture(scope="module")
def reference():
    return Trained()


@pytest.fixture
def request_for(nano_base, nano_dataset, make_domain, dora):
    def make(quant, mode="fused"):
        return ExportRequest(
            domain=make_domain(mode, quant), base=nano_base, adapter=dora, dataset=nano_dataset
        )

    return make


def test_the_uploaded_adapter_has_magnitudes(bench, dora, tmp_path):
    assert read_adapter(bench.artifacts.fetch_bundle(dora, tmp_path / "adapter")).is_dora


@pytest.mark.parametrize("quant", get_args(Quant))
def test_every_quantisation_answers_as_the_trained_weights_within_its_tolerance(
    bench, request_for, reference, quant
):
    result = export(request_for(quant), bench.artifacts, bench.settings.workdir, Beat(), reference)

    print(f"\n{quant}: {result.verified} of {result.compared} equal, {result.fused_gguf.size:,} bytes")  # noqa: T201
    assert (result.quant, result.notice) == (quant, None)
    assert [p.text for p in result.probes] != [p.text for p in result.base_probes]


@pytest.mark.parametrize("quant", get_args(Quant))
def test_no_tolerance_is_wide_enough_for_other_weights_answers(
    bench, request_for, reference, quant, monkeypatch
):
    monkeypatch.setattr(reference, "shift", 1)

    with pytest.raises(ExportUnfaithful, match=quant):
        export(request_for(quant), bench.artifacts, bench.settings.workdir, Beat(), reference)


def test_a_gguf_written_anew_is_held_against_the_answers_on_record(  # noqa: PLR0917
    bench, request_for, reference, nano_base, dora, tmp_path
):
    artifacts, out = bench.artifacts, tmp_path / "v1-q4_k_m.gguf"
    probes = export(request_for("f16"), artifacts, bench.settings.workdir, Beat(), reference).probes
    texts = release.base_texts(nano_base, artifacts, tmp_path / "texts")

    release.write_gguf_file(out, nano_base, dora, artifacts, tmp_path, quant="q4_k_m", name="nano-v1")
    found = release.compared(out, "q4_k_m", probes, texts)

    assert found.asked == len(probes)
    assert 0 < found.equal <= found.asked
    assert release.compared(out, "q4_k_m", (), texts) is None
    turned = [probe.model_copy(update={"tokens": probes[i - 1].tokens}) for i, probe in enumerate(probes)]
    with pytest.raises(ExportUnfaithful, match=r"v1-q4_k_m\.gguf as q4_k_m"):
        release.compared(out, "q4_k_m", turned, texts)


def test_a_dora_is_never_exported_as_an_adapter(bench, request_for, reference):
    with pytest.raises(AdapterInvalid, match="DoRA"):
        export(request_for("f16", "adapter"), bench.artifacts, bench.settings.workdir, Beat(), reference)
