"""What was trained is what is served: exports of real trainings, compared in llama.cpp with mlx's own answers."""

from __future__ import annotations

import pytest

from forge_common.contracts.domain import DeployMode, DeployRules
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import ExportRequest, TrainRequest
from forge_common.queue.stage import Beat
from forge_common.weights.adapter import merge
from forge_common.weights.stages import ChildReference

pytestmark = pytest.mark.integration


@pytest.fixture
def request_after_training(work, nano_base, make_dataset, make_domain):
    """The export of an adapter that was just trained."""
    domain, dataset = make_domain(), make_dataset().sha256
    trained = work(TrainRequest(domain=domain, dataset=dataset, base=nano_base))
    return ExportRequest(domain=domain, base=nano_base, adapter=trained.adapter.sha256, dataset=dataset)


@pytest.mark.parametrize("mode", list(DeployMode))
def test_llama_cpp_serves_what_mlx_trained(work, request_after_training, mode):
    domain = request_after_training.domain.model_copy(update={"deploy": DeployRules(mode=mode)})

    result = work(request_after_training.model_copy(update={"domain": domain}))

    assert result.compared >= 10
    assert result.verified >= 0.9 * result.compared
    assert (result.adapter_gguf is None) == (mode is DeployMode.FUSED)
    # The training shows: otherwise equal answers would prove nothing about the adapter.
    assert [probe.tokens for probe in result.probes] != [probe.tokens for probe in result.base_probes]


def test_the_adapter_merged_by_numpy_answers_as_mlx_does(bench, request_after_training, tmp_path):
    base = bench.artifacts.fetch_bundle(request_after_training.base.bundle, tmp_path / "base")
    adapter = bench.artifacts.fetch_bundle(request_after_training.adapter, tmp_path / "adapter")
    merge(base, adapter, tmp_path / "merged")
    prompts = [
        (Message(role="user", content=f"Write a Python function f(x) that returns x plus {k}."),)
        for k in (2, 7)
    ]
    reference = ChildReference(Beat(), bench.child)

    bare, adapted, bare_again = reference.greedy(base, prompts, [None, adapter, None], 32)
    (merged,) = reference.greedy(tmp_path / "merged", prompts, [None], 32)

    assert [answer.tokens for answer in merged] == [answer.tokens for answer in adapted]
    assert bare == bare_again
    assert bare != adapted
