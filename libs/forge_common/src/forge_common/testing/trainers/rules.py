"""What the training rules mean, on the tiny model: the same on every trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from forge_common.contracts.domain import DomainDocument
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
from forge_common.weights.jobs import TrainJob, TrainOutcome
from forge_common.weights.rows import training_rows, with_replay
from forge_common.weights.targets import TargetsUnknown
from forge_common.weights.tokenizer import ChatTokenizer
from forge_common.weights.training import TrainingDiverged

OLDER_ROWS = 100
# Each in the place of what QUICK or the contract says; the other rules have tests of their own.
OTHERWISE: Mapping[str, Any] = {
    "method": "dora",
    "rank": 4,
    "alpha": 32,
    "targets": ["q_proj"],
    "epochs": 1,
    "iterations": 3,
    "batch_size": 4,
    "batch_tokens": 64,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "num_layers": 1,
    "warmup_steps": 6,
    "weight_decay": 0.5,
    "evaluate_every": 2,
    "seed": 2,
}


class TestRules:
    def test_no_rule_is_without_effect(self, trainer: Trainer, make_job: JobMaker, report: Silent) -> None:
        as_usual = _found(trainer.train(make_job(workdir="usual"), report))

        same = _found(trainer.train(make_job(workdir="again"), report))
        of_no_effect = [
            name
            for name, value in OTHERWISE.items()
            if _found(trainer.train(make_job(workdir=name, **{name: value}), report)) == as_usual
        ]

        assert same == as_usual
        assert of_no_effect == []

    @pytest.mark.parametrize(("num_layers", "trained"), [(1, {1}), (16, {0, 1})])
    def test_the_seeds_four_keys_are_enough_of_a_domain_document(
        self, trainer: Trainer, make_job: JobMaker, report: Silent, num_layers: int, trained: set[int]
    ) -> None:
        seed: dict[str, Any] = {
            "iterations": 6,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "num_layers": num_layers,
        }
        document = DomainDocument.model_validate(
            {"id": "d", "name": "D", "base_model": "tiny", "model_prefix": "d", "training": seed}
        )

        outcome = trainer.train(make_job().model_copy(update={"rules": document.training}), report)

        assert outcome.steps == 6
        assert {int(name.split(".")[2]) for name in read_adapter(Path(outcome.adapter)).pairs} == trained
        # Every row has one of two lengths; six times four of them.
        rows = training_rows(make_job(), ChatTokenizer(Path(make_job().base)))[0].rows
        lengths = [len(row.tokens) for row in rows]
        assert 24 * min(lengths) <= outcome.tokens <= 24 * max(lengths)

    def test_a_step_is_told_with_both_losses_speed_memory_and_the_time_that_is_left(
        self, trainer: Trainer, make_job: JobMaker, report: Silent
    ) -> None:
        outcome = trainer.train(make_job(), report)

        assert [progress.step for progress in report.heard] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
        assert {progress.of for progress in report.heard} == {8}
        assert all(
            {"loss", "tokens_per_s", "memory_bytes"} <= progress.metrics.keys() for progress in report.heard
        )
        assert report.heard[0].eta_s
        assert report.heard[-1].eta_s == 0.0
        # Told when it is known, the last one too.
        told = [progress.metrics.get("valid_loss") for progress in report.heard]
        judged = [point.valid_loss for point in outcome.curve if point.valid_loss is not None]
        assert told == [None] * 4 + [judged[0]] * 5 + [judged[1]]

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


def _found(outcome: TrainOutcome) -> object:
    pairs = read_adapter(Path(outcome.adapter)).pairs
    return outcome.curve, {name: (pair.a.tobytes(), pair.b.tobytes()) for name, pair in pairs.items()}


def _going_on(job: TrainJob, parent: str) -> TrainJob:
    return job.model_copy(update={"parent": parent})
