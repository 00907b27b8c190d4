"""The stage as a whole, over real HTTP and in a real sandbox: exact figures, resumption, and who is to blame."""

from __future__ import annotations

import json

import pytest
from scipy import stats as reference

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import EvaluateRequest
from forge_common.errors import Cancelled
from forge_common.queue.stage import Beat
from forge_evaluator.benchmarks import BenchmarkUnusable
from forge_evaluator.engine import EngineDown, EngineRefused
from forge_evaluator.evaluation import evaluate
from forge_evaluator.sandbox import NoSandbox
from forge_evaluator.settings import Settings

pytestmark = pytest.mark.integration

CODING, GENERAL = 40, 10
WRONG = "```python\ndef wrong():\n    pass\n```"


def task(number):
    if number >= CODING:
        return {"id": f"g{number}", "category": "general", "prompt": f"say {number}", "gold_answer": f"it is {number}",
                "kind": "exact", "expected": f"it is {number}"}  # fmt: skip
    tests = [{"args": [value], "expected": value + number} for value in (0, 5, -7)]
    gold = f"Here:\n```python\ndef add_{number}(x):\n    return x + {number}\n```"
    return {"id": f"c{number}", "category": "coding", "prompt": f"add {number}", "gold_answer": gold,
            "test_cases": {"kind": "code", "entry_point": f"add_{number}", "tests": tests}}  # fmt: skip


TASKS = [task(number) for number in range(CODING + GENERAL)]
DOMAIN = DomainDocument.model_validate(
    {
        "id": "sums", "name": "Sums", "base_model": "b", "model_prefix": "sums",
        "eval": {
            "scoring": {part: {"weight": 0} for part in ("structure", "similarity", "completeness")} | {"correctness": {"weight": 100}},
            "gate": {"min_tasks": CODING, "samples": 2, "max_group_drop": 10, "decide_on": ["coding"]},
            "max_tokens": 64,
        },
    }
)  # fmt: skip


def knowing(known):
    return {t["prompt"]: t["gold_answer"] if number in known else WRONG for number, t in enumerate(TASKS)}


@pytest.fixture
def stage(models, artifacts_url, best_tier, tmp_path):
    """Run the stage; keyword arguments go into the request."""
    settings = Settings(home=tmp_path / "home", engine_url=models.url, concurrency=3)
    artifacts = ArtifactClient(artifacts_url, None, tmp_path / "cache")
    benchmark = artifacts.push_bytes("\n".join(map(json.dumps, TASKS)).encode(), "benchmark")

    def run(*, tier=best_tier, beat=None, run_id="run_1", **request):
        values = {
            "domain": DOMAIN,
            "benchmark": benchmark.sha256,
            "candidate": "sums:v1",
            "incumbent": "sums:v0",
        }
        return evaluate(
            EvaluateRequest(**values | request), run_id=run_id, beat=beat or Beat(), settings=settings,
            artifacts=artifacts, tier=tier,
        )  # fmt: skip

    run.artifacts = artifacts
    return run


@pytest.fixture
def better(models):
    """The candidate knows 30 of 40 coding tasks, the live version the first 10; both know 8 of 10 general ones."""
    general = set(range(CODING, CODING + 8))
    models.answers = {"sums:v1": knowing({*range(30), *general}), "sums:v0": knowing({*range(10), *general})}


def test_known_answers_give_exact_figures_and_a_promotion(stage, better, models, best_tier):
    card = stage(seed=5).scorecard

    coding, general = card.groups
    assert (coding.candidate.n, coding.candidate.mean, coding.incumbent.mean, coding.difference.mean) == (
        40,
        75,
        25,
        50,
    )
    assert (general.candidate.mean, general.incumbent.mean, general.difference.mean) == (80, 80, 0)
    differences = [0.0] * 10 + [100.0] * 20 + [0.0] * 10
    bound = 50 - reference.t.ppf(0.95, 39) * reference.sem(differences)
    assert card.lower_bound == pytest.approx(bound)
    assert card.verdict is Verdict.PROMOTE
    assert card.overall.model_copy(update={"group": "coding"}) == coding
    assert card.outcomes == {"passed": 76, "error": 20, "wrong": 4}
    assert (card.infra_error_share, card.sandbox, card.tasks, card.samples) == (
        0,
        best_tier.description,
        50,
        2,
    )
    assert (card.candidate_digest, card.incumbent_digest) == ("digest-of-sums:v1", "digest-of-sums:v0")
    assert len(models.asked) == 2 * 2 * 50


def test_both_models_are_asked_the_same_questions_with_the_same_seeds(stage, better, models):
    stage(seed=5)

    def questions(model):
        return sorted(
            (a["messages"][0]["content"], a["seed"], (a["temperature"], a["top_p"]))
            for a in models.asked
            if a["model"] == model
        )

    assert questions("sums:v1") == questions("sums:v0")
    assert len({seed for _, seed, _ in questions("sums:v1")}) == 100
    assert {sampling for *_, sampling in questions("sums:v1")} == {(0.0, 0.9)}


def test_the_log_holds_every_sample_and_the_page_shows_flips_first(stage, better, models):
    models.answers["sums:v1"]["add 12"] = "<script>alert(1)</script>"
    result = stage()

    lines = [
        json.loads(line) for line in stage.artifacts.fetch(result.report.sha256).read_text().splitlines()
    ]
    page = stage.artifacts.fetch(result.page.sha256).read_text()

    assert lines[0]["header"]["benchmark"] == result.scorecard.benchmark
    assert lines[0]["header"]["extractor"] == result.scorecard.extractor != ""
    assert lines[0]["header"]["scorers"] == result.scorecard.scorers != ""
    assert len(lines) == 1 + 2 * 2 * 50 + 1
    samples = lines[1:-1]
    assert {line["code"] for line in samples if line["task"] == "c0"} == {"def add_0(x):\n    return x + 0"}
    (told,) = {line["answer"] for line in samples if (line["task"], line["role"]) == ("c12", "candidate")}
    assert told == "<script>alert(1)</script>"  # as it came
    assert lines[-1]["scorecard"] == result.scorecard.model_dump(mode="json")
    assert "gained 19" in page
    assert page.index("<span class=id>c29<") < page.index("<span class=id>c0<")
    assert "<script" not in page
    assert "://" not in page


def test_an_equal_candidate_is_kept(stage, better, models):
    models.answers["sums:v1"] = models.answers["sums:v0"]

    assert stage().scorecard.verdict is Verdict.KEEP


def test_forgetting_the_general_tasks_stops_the_promotion(stage, better, models):
    models.answers["sums:v1"] = knowing(set(range(30)))

    card = stage().scorecard

    assert card.verdict is Verdict.KEEP
    assert "'general' lost 80.0 points" in card.reasons[0]


def test_without_a_live_version_the_candidate_is_scored_alone(stage, better):
    card = stage(incumbent=None).scorecard

    assert (card.verdict, card.overall.candidate.mean, card.overall.incumbent) == (
        Verdict.INSUFFICIENT_DATA,
        75,
        None,
    )


def test_an_engine_that_falls_silent_ends_the_evaluation_and_the_next_attempt_goes_on_where_it_stopped(
    stage, better, models
):
    models.fails = lambda number: 503 if number > 60 else None
    with pytest.raises(EngineDown, match="does not answer"):
        stage()
    models.fails = lambda number: None
    models.asked.clear()

    card = stage().scorecard

    assert (
        140 <= len(models.asked) <= 143
    )  # 60 were answered; an answer in flight when the engine fell is lost
    assert card.overall.candidate.mean == 75


def test_an_engine_that_breaks_on_some_answers_leaves_them_unscored_and_blocks_the_gate(
    stage, better, models
):
    models.answers["sums:v1"].pop("add 3")
    broken = {"add 3", "add 4", "add 5"}
    models.fails = lambda _: 500 if models.asked[-1]["messages"][0]["content"] in broken else None

    card = stage().scorecard

    assert card.infra_error_share == pytest.approx(3 / 50)
    assert card.outcomes["infra_error"] == 6
    assert card.verdict is Verdict.INCONCLUSIVE
    assert card.overall.candidate.n == CODING - 3
    assert card.overall.candidate.mean == pytest.approx(100 * 27 / 37)


def test_a_missing_model_is_refused_before_anything_is_asked(stage, better, models):
    with pytest.raises(EngineRefused, match="has no model sums:v9"):
        stage(candidate="sums:v9")
    assert models.asked == []


def test_an_engine_that_is_not_there_is_down(stage, better, models):
    models.close()

    with pytest.raises(EngineDown):
        stage()


def test_a_cancelled_run_stops_asking(stage, better, models):
    beat = Beat()
    models.fails = lambda number: beat.cancel() if number == 10 else None

    with pytest.raises(Cancelled):
        stage(beat=beat)

    assert len(models.asked) < 20


def test_progress_tells_what_is_left(stage, better):
    beat = Beat()

    stage(beat=beat)

    last = beat.take()
    assert (last.step, last.of, last.eta_s) == (200, 200, 0)
    assert last.metrics == {"candidate_passed": 76.0, "incumbent_passed": 36.0}


def test_without_a_sandbox_code_is_refused_before_anything_is_asked(stage, better, models):
    with pytest.raises(NoSandbox):
        stage(tier=NoSandbox("none"))
    assert models.asked == []


def test_half_a_character_in_an_answer_loses_nothing(stage, better, models):
    models.answers["sums:v1"]["say 40"] = "it is 40\ud800"

    assert stage().scorecard.groups[1].candidate.mean == 70


def test_a_benchmark_that_cannot_tell_right_from_wrong_is_refused_before_anybody_is_asked(
    stage, better, models
):
    broken = [TASKS[0] | {"gold_answer": WRONG}, *TASKS[1:]]
    pushed = stage.artifacts.push_bytes("\n".join(map(json.dumps, broken)).encode(), "benchmark")

    with pytest.raises(BenchmarkUnusable, match=r"c0: gold scores 0\.0"):
        stage(benchmark=pushed.sha256)

    assert models.asked == []
