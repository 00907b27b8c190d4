from __future__ import annotations

import json
import os

import pytest

from forge_common.contracts.scorecard import Figure, GroupScore, Outcome, Scorecard, Verdict
from forge_evaluator.engine import Question
from forge_evaluator.samples import Generations, Role, Sample, SampleLog, conclude, forget
from forge_evaluator.scorers import Answered

FIGURE = Figure(n=1, mean=100.0, low=None, high=None, stderr=None)
HEADER = {"benchmark": "b", "models": {"candidate": ["m:v1", "d1"]}}
QUESTION = Question(model="m:v1", prompt="p", temperature=0.0, top_p=1.0, max_tokens=9, seed=1)


def sample(task="t", **changes):
    values = {
        "role": Role.CANDIDATE, "model": "m:v1", "task": task, "group": "g", "category": "c", "number": 0, "seed": 1,
        "prompt": "p", "answer": "a", "finish_reason": "stop", "outcome": Outcome.PASSED, "points": 100.0,
    }  # fmt: skip
    return Sample.model_validate(values | changes)


@pytest.fixture
def card():
    return Scorecard(
        domain="d", benchmark="a" * 64, tasks=1, samples=1, seed=0, temperature=0.0, candidate="m:v1", incumbent=None,
        sandbox="none", overall=GroupScore(group="overall", candidate=FIGURE), groups=(), outcomes={"passed": 1},
        infra_error_share=0.0, lower_bound=None, alpha=0.05, detectable=None, verdict=Verdict.INSUFFICIENT_DATA, reasons=(),
    )  # fmt: skip


def written(path, *samples, header=HEADER):
    with SampleLog(path, header) as log:
        for item in samples:
            log.append(item)


def resumed(path, header=HEADER):
    with SampleLog(path, header) as log:
        return sorted(key.task for key in log.done)


def test_a_second_attempt_finds_what_the_first_had_done(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, sample("a"), sample("b"))

    assert resumed(path) == ["a", "b"]


def test_a_line_that_a_kill_cut_short_is_done_again_and_cleaned_away(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, sample("a"), sample("b"))
    path.write_bytes(path.read_bytes()[:-25])

    assert resumed(path) == ["a"]
    written(path, sample("c"))
    assert resumed(path) == ["a", "c"]


def test_other_inputs_start_afresh(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, sample("a"))

    assert resumed(path, HEADER | {"models": {"candidate": ["m:v1", "d2"]}}) == []


def test_our_own_errors_are_tried_again(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, sample("a", outcome=Outcome.INFRA_ERROR, points=None))

    assert resumed(path) == []


def test_a_generation_is_reused_for_the_same_weights_and_question_only(tmp_path):
    store = Generations(tmp_path, "run_1")
    store.put(QUESTION, "d1", Answered(text="hello"))

    assert store.get(QUESTION, "d1").text == "hello"
    assert store.get(QUESTION.model_copy(update={"model": "alias"}), "d1").text == "hello"
    assert store.get(QUESTION, "d2") is None
    assert store.get(QUESTION, None) is None
    assert store.get(QUESTION.model_copy(update={"seed": 2}), "d1") is None


def test_a_drawn_answer_is_not_reused_by_another_run(tmp_path):
    drawn = QUESTION.model_copy(update={"temperature": 0.7})
    Generations(tmp_path, "run_1").put(drawn, "d1", Answered(text="lucky"))

    assert Generations(tmp_path, "run_1").get(drawn, "d1").text == "lucky"
    assert Generations(tmp_path, "run_2").get(drawn, "d1") is None


def test_what_nobody_wrote_for_long_is_forgotten(tmp_path):
    store = Generations(tmp_path, "run_1")
    store.put(QUESTION, "old", Answered(text="old"))
    (old,) = tmp_path.glob("??/*.json")
    os.utime(old, (0, 0))
    store.put(QUESTION, "new", Answered(text="new"))

    forget(tmp_path, 1000.0)

    assert store.get(QUESTION, "old") is None
    assert store.get(QUESTION, "new").text == "new"


def test_a_concluded_log_ends_with_its_scorecard_and_resumes_all_the_same(tmp_path, card):
    path = tmp_path / "log.jsonl"
    written(path, sample("a"))

    conclude(path, card)

    assert json.loads(path.read_text().splitlines()[-1]) == {"scorecard": card.model_dump(mode="json")}
    assert resumed(path) == ["a"]
