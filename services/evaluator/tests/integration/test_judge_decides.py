"""A whole evaluation of prose with a criterion that only a judge can decide; the judge is another model of the same server."""

from __future__ import annotations

import json
import re

import pytest

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import EvaluateRequest
from forge_common.queue.stage import Beat
from forge_evaluator.evaluation import evaluate
from forge_evaluator.sandbox import NoSandbox
from forge_evaluator.scorers.agreement import labels, shipped_labels
from forge_evaluator.settings import Settings

pytestmark = pytest.mark.integration

SIZE = 20
CRITERION = "Thanks the reader for the question."
THANKS = "Many thanks to our reader for raising this question with us."
ASKED = re.compile(r"^Criterion: (.*)$", re.MULTILINE)
MARKED = re.compile(r"(==[0-9a-f]{16}==)\n(.*?)\n\1", re.DOTALL)


def task(number):
    fact = f"A tenant of flat {number} must give notice of {number + 30} days in writing."
    notice = {"type": "number", "value": number + 30, "unit": "days"}
    rubric = [
        {"id": "days", "text": "Says how many days.", "points": 2, "check": notice},
        {"id": "thanks", "text": CRITERION, "points": 2},
    ]
    return {"id": f"t{number}", "category": "letters", "prompt": f"How long is the notice period of flat {number}?",
            "gold_answer": f"{THANKS} {fact}", "check": {"kind": "document", "min_words": 10, "rubric": rubric}}  # fmt: skip


TASKS = [task(number) for number in range(SIZE)]
THANKED = {t["prompt"]: t["gold_answer"] for t in TASKS}
CURT = {t["prompt"]: t["gold_answer"].removeprefix(THANKS).strip() for t in TASKS}
LABELLED = {(label.criterion, label.answer): label.met for label in labels(shipped_labels())}
DOMAIN = DomainDocument.model_validate(
    {
        "id": "letters", "name": "Letters", "base_model": "b", "model_prefix": "letters",
        "eval": {
            "scoring": {part: {"weight": 0} for part in ("structure", "similarity", "completeness")} | {"correctness": {"weight": 100}},
            "gate": {"min_tasks": SIZE, "samples": 1},
        },
    }
)  # fmt: skip


class Wise(dict):
    """Agrees with the shipped labels and looks for thanks. `heard`: what it was asked beside the labels."""

    def __init__(self, verdict=None):
        super().__init__()
        self.heard = []
        self.verdict = verdict

    def get(self, prompt, default=None):
        (criterion,), answer = ASKED.findall(prompt), MARKED.search(prompt)[2]
        if (criterion, answer) not in LABELLED:
            self.heard.append((criterion, answer))
        if self.verdict is not None:
            return self.verdict
        is_met = LABELLED.get((criterion, answer), THANKS in answer)
        return json.dumps({"met": is_met, "quote": answer[:40] if is_met else ""})


@pytest.fixture
def run(models, artifacts_url, tmp_path):
    """Judges `letters:v1`, which thanks, against the curt `letters:v0`; the judge is the given model, if any."""
    artifacts = ArtifactClient(artifacts_url, None, tmp_path / "cache")
    benchmark = artifacts.push_bytes("\n".join(map(json.dumps, TASKS)).encode(), "benchmark").sha256
    models.answers = {"letters:v1": THANKED, "letters:v0": CURT}
    request = EvaluateRequest(
        domain=DOMAIN, benchmark=benchmark, candidate="letters:v1", incumbent="letters:v0"
    )

    def run(judge=None):
        settings = Settings(home=tmp_path / "home", engine_url=models.url)
        if judge is not None:
            models.answers["wise:70b"] = judge
            settings = settings.model_copy(
                update={"judge_url": f"{models.url}/v1", "judge_model": "wise:70b"}
            )
        return evaluate(
            request, run_id="run_1", beat=Beat(), settings=settings, artifacts=artifacts, tier=NoSandbox("none")
        )  # fmt: skip

    run.artifacts = artifacts
    return run


def judge_of(run, result):
    """What the page says under `judge`."""
    page = run.artifacts.fetch(result.page.sha256).read_text()
    return page.partition("<td>judge<td>")[2].partition("<tr>")[0]


def test_without_a_judge_what_only_one_could_decide_is_left_out_and_the_report_says_so(run):
    result = run()

    card = result.scorecard
    assert card.judge == "none"
    assert (card.overall.candidate.mean, card.overall.incumbent.mean) == (100, 100)
    assert card.verdict is Verdict.KEEP
    assert judge_of(run, result) == "none"


def test_a_judge_that_agrees_with_people_decides_and_the_report_names_it_and_its_kappa(run):
    judge = Wise()

    result = run(judge)

    card = result.scorecard
    assert card.judge == f"wise:70b, kappa 1.00 on {len(LABELLED)} labelled items"
    assert (card.overall.candidate.mean, card.overall.incumbent.mean) == (100, 50)
    assert card.verdict is Verdict.PROMOTE
    assert {criterion for criterion, _ in judge.heard} == {CRITERION}
    assert len(judge.heard) == 2 * SIZE
    lines = [json.loads(line) for line in run.artifacts.fetch(result.report.sha256).read_text().splitlines()]
    assert THANKS[:30] in json.dumps(lines[1]["evidence"])
    assert "kappa 1.00" in judge_of(run, result)


def test_a_judge_that_agrees_too_little_decides_nothing_and_is_asked_nothing_more(run):
    judge = Wise(verdict='{"met": false, "quote": ""}')

    card = run(judge).scorecard

    assert "wise:70b is excluded, kappa 0.00" in card.judge
    assert (card.overall.candidate.mean, card.overall.incumbent.mean) == (100, 100)
    assert card.verdict is Verdict.KEEP
    assert judge.heard == []


def test_a_judge_that_falls_silent_leaves_answers_unscored_and_blocks_the_gate(run, models):
    judge = Wise()
    models.fails = lambda _: (
        503 if len(judge.heard) >= SIZE and models.asked[-1]["model"] == "wise:70b" else None
    )

    card = run(judge).scorecard

    assert card.infra_error_share > 0.02
    assert card.verdict is Verdict.INCONCLUSIVE
    assert card.overall.candidate.mean in (100, None)
