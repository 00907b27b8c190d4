"""A killed evaluation goes on where it stopped; what was asked or run once is not asked or run again; who must not be judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from xml.etree import ElementTree as ET

import pytest

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.domain import DomainDocument, Scoring
from forge_common.contracts.exchange import Message
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import EvaluateRequest, GuardBenchmark, ParityProbe
from forge_common.queue.stage import Beat
from forge_evaluator.benchmarks import BenchmarkUnusable
from forge_evaluator.engine import EngineDown
from forge_evaluator.evaluation import evaluate
from forge_evaluator.parity import NotAsTrained
from forge_evaluator.sandbox import Pool
from forge_evaluator.settings import Settings

pytestmark = pytest.mark.integration

SIZE = 40


def code_task(number, **changes):
    gold = f"```python\ndef add_{number}(x):\n    return x + {number}\n```"
    tests = [{"args": [value], "expected": value + number} for value in (0, 5)]
    check = {"kind": "code", "entry_point": f"add_{number}", "tests": tests}
    return {"id": f"c{number}", "category": f"kind {number % 2}", "domain_group": "sums", "prompt": f"add {number}",
            "gold_answer": gold, "test_cases": check} | changes  # fmt: skip


def fact_task(number):
    return {"id": f"c{number}", "category": "facts", "prompt": f"fact {number}", "gold_answer": f"it is {number}",
            "kind": "exact", "expected": f"it is {number}"}  # fmt: skip


TASKS = [code_task(number) for number in range(SIZE)]
FACTS = [fact_task(number) for number in range(60)]
DOMAIN = DomainDocument.model_validate(
    {
        "id": "sums",
        "name": "Sums",
        "base_model": "b",
        "model_prefix": "sums",
        "eval": {"gate": {"min_tasks": SIZE, "samples": 2}, "temperature": 0.7, "max_tokens": 64},
    }
)
GOLD = {task["prompt"]: task["gold_answer"] for task in (*TASKS, *FACTS)}
# The live version does half of the sums, and knows the facts.
LIVE = GOLD | {task["prompt"]: "I do not know." for task in TASKS[::2]}


@pytest.fixture
def place(models, artifacts_url, best_tier, tmp_path):
    """Where evaluations happen: settings, artifacts, and `run`, whose keyword arguments go into the request."""

    class Place:
        settings = Settings(home=tmp_path / "home", engine_url=models.url, concurrency=3)
        artifacts = ArtifactClient(artifacts_url, None, tmp_path / "cache")

        def benchmark(self, tasks):
            data = "\n".join(map(json.dumps, tasks)).encode()
            return self.artifacts.push_bytes(data, "benchmark").sha256

        def request(self, tasks=TASKS, **changes):
            values = {
                "domain": DOMAIN,
                "benchmark": self.benchmark(tasks),
                "candidate": "sums:v1",
                "incumbent": "sums:v0",
            }
            return EvaluateRequest(**values | changes)

        def run(self, tasks=TASKS, run_id="run_1", beat=None, **changes):
            return evaluate(
                self.request(tasks, **changes),
                run_id=run_id,
                beat=beat or Beat(),
                settings=self.settings,
                artifacts=self.artifacts,
                tier=best_tier,
            )

        def samples(self, result):
            lines = self.artifacts.fetch(result.report.sha256).read_text().splitlines()
            return [json.loads(line) for line in lines[1:-1]]

    models.answers = {"sums:v1": dict(GOLD), "sums:v0": dict(LIVE)}
    return Place()


WORKER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from forge_common.artifacts import ArtifactClient
    from forge_common.contracts.stages import EvaluateRequest
    from forge_common.queue.stage import Beat
    from forge_evaluator.evaluation import evaluate
    from forge_evaluator.sandbox import probe
    from forge_evaluator.settings import Settings

    request, home, engine, store = sys.argv[1:]
    evaluate(
        EvaluateRequest.model_validate_json(Path(request).read_text()),
        run_id="run_1",
        beat=Beat(),
        settings=Settings(home=Path(home), engine_url=engine, concurrency=3),
        artifacts=ArtifactClient(store, None, Path(home) / "cache"),
        tier=probe(),
    )
""")


def test_an_evaluation_that_was_killed_asks_only_what_is_missing(place, models, tmp_path, artifacts_url):
    models.slow_s = 0.05
    request = tmp_path / "request.json"
    request.write_text(place.request().model_dump_json())
    home = str(place.settings.home)
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(request), home, models.url, artifacts_url])
    deadline = time.monotonic() + 60
    while len(models.asked) < 30:
        assert worker.poll() is None, "the evaluation ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    before = len(models.asked)
    models.asked.clear()
    models.slow_s = 0

    result = place.run()

    total = 2 * 2 * SIZE
    in_flight = place.settings.concurrency + place.settings.sandboxes
    assert before >= 30
    assert total - before <= len(models.asked) <= total - before + in_flight
    assert len({(s["role"], s["task"], s["number"]) for s in place.samples(result)}) == total
    assert result.scorecard.verdict is Verdict.PROMOTE
    assert result.scorecard.overall.candidate.mean == 100


def test_the_engine_gets_no_more_than_the_agreed_number_of_questions_at_once(place, models):
    models.slow_s = 0.02

    place.run()

    assert models.busiest == place.settings.concurrency


def test_code_that_ran_is_not_run_again_by_the_next_evaluation(place, models, monkeypatch):
    ran = []
    run = Pool.run
    monkeypatch.setattr(Pool, "run", lambda pool, job: ran.append(job) or run(pool, job))
    first = place.run(run_id="run_1").scorecard
    before = len(ran)

    second = place.run(run_id="run_2").scorecard

    assert before >= SIZE
    assert len(ran) == before
    assert second.overall == first.overall
    assert len(models.asked) == 2 * 2 * 2 * SIZE  # drawn answers are drawn again, by every run


def probes(answer):
    message = Message(role="user", content="fact 3")
    return (ParityProbe(messages=(message,), text=answer, tokens=(1, 2, 3)),)


def test_what_the_engine_answers_as_it_was_trained_is_judged_and_the_scorecard_says_so(place, models):
    card = place.run(candidate_probes=probes("it is 3"), incumbent_probes=probes("it is 3")).scorecard

    assert [(one.model, one.equal, one.asked) for one in card.parity] == [
        ("sums:v1", 1, 1),
        ("sums:v0", 1, 1),
    ]
    assert models.probed[0]["options"]["temperature"] == 0


@pytest.mark.parametrize("which", ["candidate", "incumbent"])
def test_what_the_engine_answers_otherwise_is_not_judged_at_all(place, models, which):
    with pytest.raises(NotAsTrained, match=r"gave the trained weights' answer to 0 of 1 probes") as refusal:
        place.run(**{f"{which}_probes": probes("it is 4")})

    assert models.asked == []
    assert "deploy it again" in refusal.value.fix


def guard(place, tasks):
    return GuardBenchmark(
        domain="facts",
        benchmark=place.benchmark(FACTS),
        scoring=Scoring(),
        temperature=0.0,
        max_tokens=32,
        tasks=tasks,
    )


def test_a_candidate_that_forgot_another_domain_is_kept_out(place, models):
    models.answers["sums:v1"] |= {task["prompt"]: "who knows" for task in FACTS}

    card = place.run(guards=(guard(place, 20),)).scorecard

    (found,) = card.guards
    assert (found.domain, found.tasks, found.is_harmed) == ("facts", 20, True)
    assert (found.score.candidate.mean, found.score.incumbent.mean) == (0, 100)
    assert (card.verdict, card.reasons[0]) == (
        Verdict.KEEP,
        "the domain 'facts' lost 100.0 points over 20 tasks, at most 5 are tolerated",
    )
    assert card.overall.difference.mean > 0


def test_guards_are_asked_a_bounded_number_of_the_same_tasks_once(place, models):
    place.run(guards=(guard(place, 20),))
    place.run(guards=(guard(place, 20),), run_id="run_2", candidate="sums:v0", incumbent="sums:v1")

    facts = [asked for asked in models.asked if asked["messages"][0]["content"].startswith("fact")]
    prompts = {asked["messages"][0]["content"] for asked in facts}
    assert (len(facts), len(prompts)) == (2 * 20, 20)  # greedy answers are known to the second run
    assert {(asked["temperature"], asked["max_tokens"]) for asked in facts} == {(0, 32)}


@pytest.fixture
def useless(place):
    """A guard whose benchmark cannot tell right from wrong: its own gold answers fail."""
    tasks = [fact_task(number) | {"expected": "nonsense"} for number in range(20)]
    return guard(place, 20).model_copy(update={"benchmark": place.benchmark(tasks)})


def test_a_guard_that_nobody_named_is_left_out_when_its_benchmark_is_useless_and_the_report_says_so(
    place, models, useless
):
    card = place.run(guards=(useless,)).scorecard

    assert (card.guards, card.verdict) == ((), Verdict.PROMOTE)
    assert card.reasons[-1].startswith("not guarded by the domain 'facts': the benchmark fails its self-test")
    assert not any("fact" in asked["messages"][0]["content"] for asked in models.asked)


def test_a_guard_that_was_named_must_be_usable(place, models, useless):
    named = DOMAIN.model_copy(update={"eval": DOMAIN.eval.model_copy(update={"guard_domains": ("facts",)})})

    with pytest.raises(
        BenchmarkUnusable, match="the benchmark of 'facts': the benchmark fails its self-test"
    ):
        place.run(domain=named, guards=(useless,))

    assert models.asked == []


def test_a_benchmark_that_cannot_be_read_is_named_by_its_domain(place, models):
    broken = place.artifacts.push_bytes(b"no benchmark", "benchmark").sha256

    with pytest.raises(BenchmarkUnusable, match="the benchmark of 'sums': line 1 is no JSON"):
        place.run(benchmark=broken)

    assert models.asked == []


def test_a_guard_leaves_the_domains_own_figures_alone(place):
    alone, guarded = place.run().scorecard, place.run(run_id="run_2", guards=(guard(place, 20),)).scorecard

    assert (guarded.overall, guarded.categories, guarded.outcomes) == (
        alone.overall,
        alone.categories,
        alone.outcomes,
    )


def test_the_scorecard_tells_categories_pass_rates_flips_and_how_every_answer_ended(place):
    card = place.run(judged_before=1).scorecard

    assert [group.group for group in card.groups] == ["sums"]
    even, odd = card.categories
    assert (even.group, even.candidate.n, even.incumbent.mean, even.difference.mean) == ("kind 0", 20, 0, 100)
    assert (odd.group, odd.difference.mean, odd.difference.stderr) == ("kind 1", 0, 0)
    assert [(rate.k, rate.candidate.mean, rate.incumbent.mean) for rate in card.pass_rates] == [
        (1, 100, 50),
        (2, 100, 50),
    ]
    assert (card.outcomes, card.incumbent_outcomes) == ({"passed": 80}, {"passed": 40, "no_code": 40})
    assert (len(card.gained), card.lost) == (20, ())
    assert (card.alpha, card.judged_before, card.top_p, card.max_tokens) == (0.025, 1, 0.9, 64)
    assert card.headline == "sums:v1 is better than sums:v0: it may go live"


def test_a_canary_that_newly_fails_keeps_the_candidate_out(place, models):
    models.answers["sums:v1"]["add 1"] = "I do not know."
    tasks = [code_task(1, canary=True) if task["id"] == "c1" else task for task in TASKS]

    card = place.run(tasks).scorecard

    assert (card.canaries, card.canaries_failed, card.verdict) == (1, ("c1",), Verdict.KEEP)


def test_a_build_server_reads_the_report_and_sees_what_was_lost(place, models):
    models.answers["sums:v1"] |= {"add 1": "\x00 I <b>forgot</b>", "add 2": "I do not know."}

    result = place.run()

    root = ET.fromstring(place.artifacts.fetch(result.junit.sha256).read_bytes())
    assert {suite.get("name"): suite.get("failures") for suite in root} == {"kind 0": "1", "kind 1": "1"}
    failed = {case.get("name"): case.find("failure") for case in root.iter("testcase")}
    assert failed["c1"].get("message") == "worse than before: 0 points after 100"
    assert failed["c2"].get("message") == "0% of the answers passed"
    assert failed["c3"] is None


def test_an_engine_that_is_there_but_too_slow_for_one_answer_costs_that_answer(place, models):
    place.settings = place.settings.model_copy(update={"answer_timeout_s": 4.0})
    slow = "add 3"
    models.pauses = lambda body: 20.0 if body["messages"][-1]["content"] == slow else 0.0

    card = place.run().scorecard

    assert card.outcomes == {"passed": 2 * SIZE - 2, "infra_error": 2}
    assert card.verdict is Verdict.INCONCLUSIVE
    assert card.overall.candidate.n == SIZE - 1


def test_an_engine_that_dies_in_the_middle_leaves_no_score(place, models):
    models.fails = lambda number: 503 if number > 10 else None

    with pytest.raises(EngineDown):
        place.run()

    log = place.settings.work / "runs" / "run_1.jsonl"
    outcomes = {json.loads(line).get("outcome") for line in log.read_text().splitlines()[1:]}
    assert outcomes <= {"passed", "no_code"}
