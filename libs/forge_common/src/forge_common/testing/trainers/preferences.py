"""Preferences on top of SFT: they move the model the right way or not at all, and a kill changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Protocol

import pytest

from forge_common.testing.trainers.shared import JobMaker, Silent, StopAt, Stopped, Trainer, contents
from forge_common.weights.jobs import TrainJob
from forge_common.weights.rows import RowInvalid

DPO = {"learning_rate": 5e-3, "epochs": 3, "batch_size": 8, "min_pairs": 10}


class PreferringJobMaker(Protocol):
    def __call__(
        self, n: int = 40, workdir: str = "run", training: dict[str, Any] | None = None, **rules: Any
    ) -> TrainJob: ...


@pytest.fixture
def make_preferring(make_job: JobMaker, tmp_path: Path) -> PreferringJobMaker:
    """Pairs that prefer the long form to the short one."""

    def make(
        n: int = 40, workdir: str = "run", training: dict[str, Any] | None = None, **rules: Any
    ) -> TrainJob:
        path = tmp_path / "preferences.jsonl"
        rows = [_pair(f"say {i}", f"{i} it is, gladly", f"{i}", i) for i in range(n)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        job = make_job(workdir=workdir, dpo=DPO | rules, **(training or {}))
        return job.model_copy(update={"preferences": str(path)})

    return make


def _pair(question: str, better: str, worse: str, n: int) -> dict[str, object]:
    return {
        "messages": [{"role": "user", "content": question}],
        "chosen": {"role": "assistant", "content": better},
        "rejected": {"role": "assistant", "content": worse},
        "source": f"p{n}",
    }


class TestPreferences:
    def test_the_better_answers_of_held_out_pairs_become_likelier(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        outcome = trainer.train(make_preferring(), report)

        preferred = outcome.preferred
        assert preferred is not None
        assert preferred.pairs == 40
        assert preferred.loss_before == pytest.approx(math.log(2))
        assert preferred.loss_after < 0.5
        assert preferred.share_gained == 1.0
        assert preferred.kept
        assert _is_of_dpo(outcome.adapter)
        assert [p.message for p in report.heard if p.message == "preferences"]

    def test_sfts_adapter_stays_where_nothing_is_gained(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        job = make_preferring()
        assert job.preferences is not None
        path = Path(job.preferences)
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows[::10]:  # those that are held out prefer the opposite
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

        outcome = trainer.train(job, report)

        assert outcome.preferred is not None
        assert outcome.preferred.loss_after > outcome.preferred.loss_before
        assert not outcome.preferred.kept
        assert not _is_of_dpo(outcome.adapter)

    def test_no_rule_of_dpo_is_without_effect(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        as_usual = trainer.train(make_preferring(workdir="usual"), report).preferred
        otherwise: dict[str, Any] = {
            "beta": 0.3,
            "epochs": 2,
            "learning_rate": 1e-3,
            "batch_size": 4,
            "min_pairs": 41,
        }

        of_no_effect = [
            name
            for name, value in otherwise.items()
            if trainer.train(make_preferring(workdir=name, **{name: value}), report).preferred == as_usual
        ]

        assert trainer.train(make_preferring(workdir="again"), report).preferred == as_usual
        assert of_no_effect == []

    def test_too_few_pairs_are_left_alone(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        outcome = trainer.train(make_preferring(n=9), report)

        assert outcome.preferred is None
        assert any("too few" in progress.message for progress in report.heard)

    def test_pairs_that_are_too_long_are_said_and_counted(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        job = make_preferring(n=12)
        assert job.preferences is not None
        turn = [{"role": "user", "content": "say it " * 60}, {"role": "assistant", "content": "it is"}]
        talk = _pair("say 1", "1 it is, gladly", "1", 1)
        talk["messages"] = [*turn, {"role": "user", "content": "say 1"}]
        giant = _pair("say 2", "2 " * 400, "2", 2)
        with Path(job.preferences).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in (talk, giant))
        rules = job.rules.model_copy(update={"max_seq_length": 128})

        outcome = trainer.train(job.model_copy(update={"rules": rules}), report)

        assert outcome.preferred is not None
        assert outcome.preferred.pairs == 13
        assert (outcome.pairs_split, outcome.pairs_too_long) == (1, 1)
        said = [progress.message for progress in report.heard if "pairs are too long" in progress.message]
        assert said == [
            "preferences: 1 pairs are too long with all that came before them, their oldest turns are left out",
            "preferences: 1 pairs are too long, left out",
        ]

    def test_preferences_that_cannot_be_read_are_refused_before_training(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        job = make_preferring(n=2)
        assert job.preferences is not None
        pair = _pair("say 1", "1", "2", 1) | {"chosen": {"role": "user", "content": "1"}}
        with Path(job.preferences).open("a", encoding="utf-8") as file:
            file.write(json.dumps(pair) + "\n")

        with pytest.raises(RowInvalid, match="line 3 prefers among answers of 'user'"):
            trainer.train(job, report)

        assert report.heard == []

    def test_pairs_are_read_only_when_the_rules_ask_for_dpo(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        job = make_preferring()
        rules = job.rules.model_copy(update={"dpo": None})

        assert trainer.train(job.model_copy(update={"rules": rules}), report).preferred is None

    def test_a_stopped_dpo_goes_on_to_the_same_bits(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        whole = trainer.train(make_preferring(workdir="whole"), report)
        with pytest.raises(Stopped):
            trainer.train(make_preferring(workdir="stopped"), StopAt(6, "preferences"))

        resumed = trainer.train(make_preferring(workdir="stopped"), report)

        assert resumed.preferred == whole.preferred
        assert contents(resumed.adapter) == contents(whole.adapter)

    def test_both_stages_together_keep_to_the_time_that_the_rules_allow(
        self, trainer: Trainer, make_preferring: PreferringJobMaker, report: Silent
    ) -> None:
        budget: dict[str, object] = {"max_seconds": 2, "epochs": 500, "patience": 500}

        outcome = trainer.train(make_preferring(training=budget, epochs=500), report)

        assert outcome.preferred is not None
        assert outcome.preferred.steps == 1


def _is_of_dpo(adapter: str) -> bool:
    return "dpo" in Path(adapter).parts
