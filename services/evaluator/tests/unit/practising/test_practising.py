from __future__ import annotations

import asyncio
import json

import pytest

from forge_common import domains
from forge_common.contracts.scorecard import Outcome
from forge_common.errors import DependencyDown
from forge_evaluator.benchmarks import CodeCheck, ExactCheck, SqlCheck, Task
from forge_evaluator.engine import AnswerFailed
from forge_evaluator.practising.attempts import Rules, Trial
from forge_evaluator.practising.choosing import TaskUnknown, choose
from forge_evaluator.practising.feedback import only_visible
from forge_evaluator.practising.session import Session, open_log
from forge_evaluator.practising.teaching import lesson
from forge_evaluator.practising.trace import Attempt, Trace, pass_rates
from forge_evaluator.scorers import Answered, Score

NANO = domains.load("nano")


def task(name="t", check=None):
    check = check or CodeCheck(
        entry_point="f",
        tests=({"args": [1], "expected": 2}, {"args": [3], "expected": 4, "hidden": True}),
    )
    return Task(id=name, group="g", prompt="Write f.", check=check)


def attempt(outcome, answer="an answer", code=None):
    return Attempt(answer=answer, code=code, outcome=outcome, explanation="", seed=0, seconds=0.1)


def trace(*outcomes, name="t"):
    return Trace(task=name, category="c", prompt="Write f.", attempts=tuple(map(attempt, outcomes)))


def judging(*outcomes):
    """A judge that gives `outcomes` to whole tasks in turn, and failing evidence to visible ones."""
    left = iter(outcomes)

    def judge(asked, answered):
        if len(asked.check.tests) == 1:
            return Score(
                points=0.0, outcome=Outcome.WRONG, evidence=("f(1): expected 2, got 5",), explanation=""
            )
        return Score(points=0.0, outcome=next(left), code="def f(x): ...", explanation="")

    return judge


def practise(judge, ask=None, attempts=3):
    asked = []

    async def answer(question):
        asked.append(question)
        return Answered(text=f"answer {len(asked)}")

    rules = Rules.of(NANO, model="m", attempts=attempts, seed=7)
    trial = Trial(rules, ask or answer, judge, lambda *_: None)
    return asyncio.run(trial.practise(task())), asked


def test_practice_ends_with_the_first_answer_that_passes():
    found, asked = practise(judging(Outcome.WRONG, Outcome.PASSED))

    assert (found.solved_at, len(asked)) == (2, 2)
    assert asked[0].turns == ()
    assert asked[1].turns[0] == "answer 1"
    assert "expected 2, got 5" in asked[1].turns[1]
    assert (asked[0].temperature, asked[1].temperature) == (0.0, 0.3)
    assert asked[0].seed != asked[1].seed


def test_only_the_last_answer_is_remembered():
    found, asked = practise(judging(*[Outcome.WRONG] * 3))

    assert found.solved_at is None
    assert [question.turns[0] for question in asked[1:]] == ["answer 1", "answer 2"]
    assert found.attempts[-1].told is None


def test_an_engine_that_breaks_on_an_answer_is_not_the_models_failure():
    async def broken(_):
        raise AnswerFailed("no")

    found, _ = practise(judging(), broken)

    assert len(found.attempts) == 1
    assert not found.is_judged
    assert pass_rates([found, trace(Outcome.PASSED)], 2)[0].n == 1


def test_what_is_quoted_was_judged_on_visible_tests_alone():
    shown = only_visible(task())

    assert [case.args for case in shown.check.tests] == [(1,)]
    sql = SqlCheck(
        setup="create table t (a)", tests=({"expected": [[1]]}, {"expected": [[2]], "hidden": True})
    )
    assert len(only_visible(task(check=sql)).check.tests) == 1
    all_hidden = CodeCheck(entry_point="f", tests=({"args": [1], "expected": 2, "hidden": True},))
    assert only_visible(task(check=all_hidden)) is None
    assert only_visible(task(check=ExactCheck(expected="secret"))) is None


def test_pass_rates_count_what_was_solved_within_so_many_attempts():
    traces = [
        trace(Outcome.PASSED),
        trace(Outcome.WRONG, Outcome.PASSED),
        trace(Outcome.ERROR, Outcome.WRONG),
        trace(Outcome.INFRA_ERROR),
    ]

    assert [(rate.n, round(rate.mean, 1)) for rate in pass_rates(traces, 2)] == [(3, 33.3), (3, 66.7)]


def taught(found, of=None):
    return lesson(found, of or task(), NANO, model="engie-nano:v3", engine_url="http://127.0.0.1:1")


def test_a_first_answer_is_taught_as_it_was_said():
    found = taught(trace(Outcome.PASSED))

    assert found.passed["answer"] == {"role": "assistant", "content": "an answer"}
    assert found.failed is None
    assert taught(trace(Outcome.WRONG)) is None


def test_a_repaired_answer_is_taught_as_code_and_paired_with_the_first_failure():
    attempts = (attempt(Outcome.WRONG, "bad"), attempt(Outcome.WRONG, "worse"),
                attempt(Outcome.PASSED, "Sorry! ...", "def f(x):\n    return '```'"))  # fmt: skip
    found = taught(Trace(task="t", category="c", prompt="Write f.", attempts=attempts))

    assert found.passed["answer"]["content"] == "````python\ndef f(x):\n    return '```'\n````"
    assert found.failed["answer"]["content"] == "bad"
    assert found.failed["pair_of"] == found.passed["id"] != found.failed["id"]
    assert found.failed["messages"] == found.passed["messages"]


@pytest.mark.parametrize("opened", ["<think>\n", ""])
def test_thinking_is_kept_apart_from_what_was_said(opened):
    thought = attempt(Outcome.PASSED, f"{opened}One and one\n</think>\n\nTwo.")
    found = taught(Trace(task="t", category="c", prompt="p", attempts=(thought,)))

    assert found.passed["answer"] == {"role": "assistant", "content": "Two.", "thinking": "One and one"}


def test_the_system_prompt_is_taught_as_the_engine_gives_it():
    document = NANO.model_copy(update={"system_prompt": "Be exact."})
    found = lesson(trace(Outcome.PASSED), task(), document, model="m", engine_url="u")

    assert found.passed["messages"][0] == {"role": "system", "content": "Be exact."}


def test_rounds_draw_other_tasks_and_named_ones_are_taken_as_named():
    tasks = [task(f"t{number}") for number in range(20)]
    rounds = [[one.id for one in choose(tasks, named=(), most=5, seed=seed)] for seed in (0, 0, 1)]

    assert rounds[0] == rounds[1] != rounds[2]
    assert len(set(rounds[0])) == 5
    assert [one.id for one in choose(tasks, named=["t7", "t2"], most=1, seed=0)] == ["t7", "t2"]
    with pytest.raises(TaskUnknown, match="t99"):
        choose(tasks, named=["t99"], most=None, seed=0)


def run_session(folder, teach, header=None):
    """Two tasks, both solved; gives the log and how many were attempted."""
    tried = []

    async def solve(one):
        tried.append(one.id)
        return trace(Outcome.PASSED, name=one.id)

    header = header or {"domain": "nano", "seed": 0}
    with open_log(folder, header) as log:
        session = Session([task("a"), task("b")], solve, teach, log, lambda *_: None)
        try:
            asyncio.run(session.run(1))
            log.end({})
        except DependencyDown:
            pass
    return log, tried


def test_a_collector_that_went_away_costs_no_second_attempt(tmp_path):
    sent = []

    def away(found, _):
        if found.task == "b":
            raise DependencyDown("away")
        sent.append(found.task)
        return 1

    _, first = run_session(tmp_path, away)
    log, second = run_session(tmp_path, lambda found, _: sent.append(found.task) or 1)

    assert (first, second) == (["a", "b"], [])
    assert sent == ["a", "b"]
    assert log.taught == {"a": 1, "b": 1}


def test_an_ended_round_or_another_one_is_not_gone_on_with(tmp_path):
    for header in (None, None, {"domain": "nano", "seed": 1}):
        _, tried = run_session(tmp_path, None, header)
        assert tried == ["a", "b"]
    assert len(list(tmp_path.glob("*.jsonl"))) == 3


def test_a_torn_line_is_tried_again(tmp_path):
    log, _ = run_session(tmp_path, None)
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join(lines[:2]) + "\n" + lines[2][:30])

    again, tried = run_session(tmp_path, None)

    assert (again.path, tried) == (log.path, ["b"])
    assert all(json.loads(line) for line in again.path.read_text().splitlines())
