"""Real trainings of a few seconds on mlx, each in a child process of its own."""

from __future__ import annotations

import os
import signal

import numpy as np
import psutil
import pytest

from forge_common.contracts.base import Bundle
from forge_common.contracts.stages import TrainRequest
from forge_common.queue.child import ChildDied, ChildFailed
from forge_common.testing.trainers.shared import at
from forge_common.weights.adapter import read_adapter

pytestmark = pytest.mark.integration


def request_for(base, dataset, domain) -> TrainRequest:
    return TrainRequest(domain=domain, dataset=dataset.sha256, base=base)


def test_training_lowers_both_losses(work, nano_base, make_dataset, make_domain):
    result = work(request_for(nano_base, make_dataset(), make_domain()))

    judged = [point for point in result.curve if point.valid_loss is not None]
    assert [point.step for point in judged] == [4, 8, 12]
    assert judged[-1].valid_loss < judged[0].valid_loss
    assert result.curve[-1].train_loss < result.curve[0].train_loss
    assert result.valid_loss == min(point.valid_loss for point in judged)
    assert result.steps == 12


def test_tokens_are_counted_without_padding(work, tiny_base, make_dataset, make_domain, artifacts):
    dataset = make_dataset(train=8, valid=2)
    domain = make_domain(iterations=3, batch_size=8, evaluate_every=3)

    one_epoch = work(request_for(tiny_base, dataset, domain)).tokens / 3

    assert one_epoch == sum(row_lengths(artifacts, dataset, tiny_base))


def row_lengths(artifacts, dataset, base) -> list[int]:
    from forge_common.contracts.dataset import DatasetManifest
    from forge_common.weights.rows import encode_rows, load_rows
    from forge_common.weights.tokenizer import ChatTokenizer

    manifest = artifacts.read_json(dataset.sha256, DatasetManifest)
    folder = artifacts.fetch_bundle(base.bundle, artifacts._cache.root.parent / "laid-out")
    rows = load_rows(artifacts.fetch(manifest.train.sha256))
    encoded = encode_rows(rows, ChatTokenizer(folder), system_prompt="", max_tokens=256)
    return [len(row.tokens) for row in encoded.rows]


def test_progress_arrives_while_training(work, witness, tiny_base, make_dataset, make_domain):
    beat = witness()

    work(request_for(tiny_base, make_dataset(), make_domain()), beat=beat)

    steps = [progress for progress in beat.seen if progress.step is not None]
    assert sorted({progress.step for progress in steps}) == list(range(1, 13))
    assert steps[-1].of == 12
    assert steps[-1].metrics["loss"] > 0
    assert steps[-1].metrics["tokens_per_s"] > 0


def test_a_killed_training_goes_on_and_ends_with_the_same_adapter(
    work, witness, tiny_base, make_dataset, make_domain
):
    request = request_for(tiny_base, make_dataset(), make_domain())
    whole = work(request, run="run_whole")

    with pytest.raises(ChildDied):
        work(request, run="run_broken", beat=witness(at(7, lambda: os.kill(only_child(), signal.SIGKILL))))
    second = witness()
    resumed = work(request, run="run_broken", beat=second)

    assert min(progress.step for progress in second.seen if progress.step) == 5
    assert resumed.adapter == whole.adapter
    assert resumed.curve == whole.curve
    assert resumed.tokens == whole.tokens


def only_child() -> int:
    (child,) = psutil.Process().children()
    return child.pid


def test_training_stops_when_validation_no_longer_improves(work, tiny_base, make_dataset, make_domain):
    domain = make_domain(iterations=400, batch_size=4, evaluate_every=5, patience=2, learning_rate=0.05)

    result = work(request_for(tiny_base, make_dataset(train=8, valid=8), domain))

    assert result.steps < 400
    assert result.best_step == result.steps - 2 * 5
    assert result.valid_loss == min(point.valid_loss for point in result.curve if point.valid_loss)


def test_a_diverging_training_says_so(work, tiny_base, make_dataset, make_domain):
    with pytest.raises(ChildFailed, match="the loss is") as caught:
        work(request_for(tiny_base, make_dataset(), make_domain(learning_rate=1e30, warmup_steps=0)))

    assert caught.value.code == "training_diverged"
    assert "learning_rate" in caught.value.fix
    assert not caught.value.retryable


def test_rows_that_are_all_too_long_are_refused(work, tiny_base, make_dataset, make_domain):
    with pytest.raises(ChildFailed, match="32 tokens") as caught:
        work(request_for(tiny_base, make_dataset(train=4, valid=2), make_domain(max_seq_length=32)))

    assert caught.value.code == "nothing_to_train_on"


def test_qlora_trains_on_a_4_bit_base(work, tiny_base, make_dataset, make_domain):
    result = work(request_for(tiny_base, make_dataset(), make_domain(method="qlora", learning_rate=0.01)))

    judged = [point.valid_loss for point in result.curve if point.valid_loss is not None]
    assert judged[-1] < judged[0]


def test_only_the_last_blocks_are_trained_when_told(work, bench, tiny_base, make_dataset, make_domain):
    result = work(request_for(tiny_base, make_dataset(), make_domain(num_layers=1, iterations=4)))

    adapter = read_adapter(
        bench.artifacts.fetch_bundle(result.adapter.sha256, bench.settings.workdir / "found")
    )
    assert {name.split(".")[2] for name in adapter.pairs} == {"1"}
    assert all(np.abs(pair.b).max() > 0 for pair in adapter.pairs.values())


def test_the_adapter_is_a_bundle_in_pefts_layout(work, artifacts, tiny_base, make_dataset, make_domain):
    result = work(request_for(tiny_base, make_dataset(), make_domain(iterations=4)))

    bundle = artifacts.read_json(result.adapter.sha256, Bundle)
    assert [file.path for file in bundle.files] == ["adapter_config.json", "adapter_model.safetensors"]
