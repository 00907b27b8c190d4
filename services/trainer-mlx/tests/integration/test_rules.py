"""What the training rules mean here, on the tiny model: the same as on trainer-cuda."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_common.weights.adapter import AdapterInvalid, read_adapter
from forge_common.weights.targets import TargetsUnknown
from forge_trainer_mlx.train import train

pytestmark = pytest.mark.integration


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


class Stopped(Exception):
    """Stands for a process that ends in the middle of a step."""


class StopAt:
    def __init__(self, step: int) -> None:
        self._step = step

    def progress(self, progress) -> None:
        if progress.step == self._step:
            raise Stopped


@pytest.mark.parametrize("method", ["lora", "qlora", "dora"])
@pytest.mark.parametrize("stop", [3, 6])
def test_a_stopped_training_goes_on_to_the_same_bits(make_job, report, stop, method):
    whole = train(make_job(workdir="whole", method=method), report)
    with pytest.raises(Stopped):
        train(make_job(workdir="stopped", method=method), StopAt(stop))

    resumed = train(make_job(workdir="stopped", method=method), report)

    assert resumed.curve == whole.curve
    assert contents(resumed.adapter) == contents(whole.adapter)
    assert resumed.tokens == whole.tokens


def test_a_finished_training_is_not_trained_again(make_job, report):
    first = train(make_job(), report)
    report.heard.clear()

    again = train(make_job(), report)

    assert report.heard == []
    assert (again.curve, again.adapter) == (first.curve, first.adapter)


def test_dora_learns_magnitudes_beside_the_update(make_job, report):
    outcome = train(make_job(method="dora", epochs=4), report)

    adapter = read_adapter(Path(outcome.adapter))
    assert adapter.is_dora
    assert outcome.valid_loss < 0.9 * outcome.curve[0].train_loss


def test_only_the_named_maps_get_an_adapter(make_job, report):
    outcome = train(make_job(targets=["q_proj", "v_proj"]), report)

    names = {name.split(".")[-2] for name in read_adapter(Path(outcome.adapter)).pairs}
    assert names == {"q_proj", "v_proj"}


def test_a_map_that_the_base_does_not_have_is_refused(make_job, report):
    with pytest.raises(TargetsUnknown, match="w_pack") as caught:
        train(make_job(targets=["q_proj", "w_pack"]), report)

    assert "gate_proj" in str(caught.value.fix)


def test_batches_counted_in_tokens_take_more_steps(make_job, report):
    assert train(make_job(batch_tokens=64), report).steps > 8


def test_training_ends_in_order_when_its_time_is_up(make_job, report):
    outcome = train(make_job(epochs=500, patience=500, max_seconds=2), report)

    assert 0 < outcome.steps < 2000
    assert outcome.curve[-1].step == outcome.steps
    assert Path(outcome.adapter, "adapter_model.safetensors").is_file()


def test_without_validation_rows_the_last_weights_are_kept(make_job, report):
    outcome = train(make_job(valid=[]), report)

    assert (outcome.best_step, outcome.valid_loss) == (outcome.steps, None)


def test_training_goes_on_from_a_parents_adapter(make_job, report):
    parent = train(make_job(workdir="parent", epochs=8), report)
    job = make_job(workdir="child", learning_rate=1e-4).model_copy(update={"parent": parent.adapter})

    child = train(job, report)

    assert child.curve[0].train_loss < 0.5 * parent.curve[0].train_loss


def test_a_parent_of_another_rank_is_refused(make_job, report):
    parent = train(make_job(workdir="parent", rank=4), report)
    job = make_job(workdir="child").model_copy(update={"parent": parent.adapter})

    with pytest.raises(AdapterInvalid, match="another rank") as caught:
        train(job, report)
    assert "start_from" in str(caught.value.fix)


def test_rows_of_the_parents_dataset_are_replayed(make_job, report, tmp_path):
    job = make_job(replay=0.25)
    older = tmp_path / "older.jsonl"
    older.write_text(Path(job.train).read_text().replace('"e', '"old').replace("it is", "it was"))

    assert train(job.model_copy(update={"replay": str(older)}), report).steps == 2 * 5
