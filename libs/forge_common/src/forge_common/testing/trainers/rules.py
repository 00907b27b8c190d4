"""What the training rules mean, on the tiny model: the same on every trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_common.testing.trainers.shared import (
    JobMaker,
    Silent,
    StopAt,
    Stopped,
    Trainer,
    contents,
    write_rows,
)
from forge_common.weights.adapter import AdapterInvalid, read_adapter
from forge_common.weights.jobs import TrainJob
from forge_common.weights.rows import with_replay
from forge_common.weights.targets import TargetsUnknown
from forge_common.weights.training import TrainingDiverged

OLDER_ROWS = 100


class TestRules:
    @pytest.mark.parametrize("method", ["lora", "qlora", "dora"])
    @pytest.mark.parametrize("stop", [3, 6])
    def test_a_stopped_training_goes_on_to_the_same_bits(
        self, trainer: Trainer, make_job: JobMaker, report: Silent, stop: int, method: str
    ) -> None:
        whole = trainer.train(make_job(workdir="whole", method=method), report)
        with pytest.raises(Stopped):
            trainer.train(make_job(workdir="stopped", method=method), StopAt(stop))

        resumed = trainer.train(make_job(workdir="stopped", method=method), report)

        assert resumed.curve == whole.curve
        assert contents(resumed.adapter) == contents(whole.adapter)
        assert resumed.tokens == whole.tokens

    def test_a_resumed_training_does_not_repeat_what_is_saved(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        with pytest.raises(Stopped):
            trainer.train(make_job(), StopAt(6))

        trainer.train(make_job(), report)

        assert report.heard[0].step == 5  # saved at 4

    def test_a_finished_training_is_not_trained_again(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        first = trainer.train(make_job(), report)
        report.heard.clear()

        again = trainer.train(make_job(), report)

        assert report.heard == []
        assert (again.curve, again.adapter) == (first.curve, first.adapter)

    def test_the_checkpoint_of_another_job_is_not_gone_on_with(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        trainer.train(make_job(), report)
        report.heard.clear()

        trainer.train(make_job(rank=4), report)

        assert report.heard[0].step == 1

    def test_dora_learns_magnitudes_beside_the_update(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        outcome = trainer.train(make_job(method="dora", epochs=4), report)

        first = outcome.curve[0].train_loss
        assert first is not None
        assert outcome.valid_loss is not None
        assert read_adapter(Path(outcome.adapter)).is_dora
        assert outcome.valid_loss < 0.9 * first

    def test_only_the_named_maps_get_an_adapter(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        outcome = trainer.train(make_job(targets=["q_proj", "v_proj"]), report)

        names = {name.split(".")[-2] for name in read_adapter(Path(outcome.adapter)).pairs}
        assert names == {"q_proj", "v_proj"}

    def test_a_map_that_the_base_does_not_have_is_refused(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        with pytest.raises(TargetsUnknown, match="w_pack") as caught:
            trainer.train(make_job(targets=["q_proj", "w_pack"]), report)

        assert "gate_proj" in str(caught.value.fix)

    def test_batches_counted_in_tokens_take_more_steps(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        assert trainer.train(make_job(batch_tokens=64), report).steps > 8

    def test_training_ends_in_order_when_its_time_is_up(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        outcome = trainer.train(make_job(epochs=500, patience=500, max_seconds=2), report)

        assert 0 < outcome.steps < 2000
        assert outcome.curve[-1].step == outcome.steps
        assert Path(outcome.adapter, "adapter_model.safetensors").is_file()

    def test_without_validation_rows_the_last_weights_are_kept(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        outcome = trainer.train(make_job(valid=[]), report)

        assert (outcome.best_step, outcome.valid_loss) == (outcome.steps, None)

    def test_a_loss_that_is_no_number_stops_with_what_to_do(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        with pytest.raises(TrainingDiverged, match="the loss is") as caught:
            trainer.train(make_job(learning_rate=1e30, warmup_steps=0), report)

        assert "learning_rate" in str(caught.value.fix)

    def test_training_goes_on_from_a_parents_adapter(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        parent = trainer.train(make_job(workdir="parent", epochs=8), report)

        child = trainer.train(
            _going_on(make_job(workdir="child", learning_rate=1e-4), parent.adapter), report
        )

        now, then = child.curve[0].train_loss, parent.curve[0].train_loss
        assert now is not None
        assert then is not None
        assert now < 0.5 * then

    def test_a_parent_of_another_rank_is_refused(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        parent = trainer.train(make_job(workdir="parent", rank=4), report)

        with pytest.raises(AdapterInvalid, match="another rank") as caught:
            trainer.train(_going_on(make_job(workdir="child"), parent.adapter), report)

        assert "start_from" in str(caught.value.fix)

    def test_a_parent_of_another_alpha_is_refused_rather_than_scaled(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        parent = trainer.train(make_job(workdir="parent", alpha=32), report)

        with pytest.raises(AdapterInvalid, match=r"alpha 32: with 16 .* 0\.5 times") as caught:
            trainer.train(_going_on(make_job(workdir="child"), parent.adapter), report)

        assert "training.alpha to 32" in str(caught.value.fix)

    def test_rows_of_the_parents_dataset_are_replayed_once_each(
        self, trainer: Trainer, make_job: JobMaker, report: Silent, tmp_path: Path
    ) -> None:
        older = write_rows(tmp_path / "older.jsonl", [("old", "gold")] * OLDER_ROWS, name="old")
        job = make_job(replay=0.25).model_copy(update={"replay": str(older)})

        rows = with_replay(job)

        old = [row.source for row in rows if row.source.startswith("old")]
        assert (len(rows), len(old), len(set(old))) == (40, 8, 8)
        assert with_replay(job) == rows
        assert trainer.train(job, report).steps == 2 * 5


def _going_on(job: TrainJob, parent: str) -> TrainJob:
    return job.model_copy(update={"parent": parent})
