"""What people and build servers get to read: nothing hostile in it, flipped tasks first, every figure with its interval."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from forge_common.contracts.domain import DomainDocument, Scoring
from forge_common.contracts.scorecard import Outcome, Verdict
from forge_common.contracts.stages import EvaluateRequest
from forge_evaluator import junit, page, report
from forge_evaluator.benchmarks import Benchmark, Task
from forge_evaluator.gate import Pair
from forge_evaluator.report import Circumstances
from forge_evaluator.runner import Model, Plan, Suite
from forge_evaluator.samples import Role, Sample

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>{display:none}\x00\ud7ff"
DOMAIN = DomainDocument.model_validate(
    {
        "id": "coding",
        "name": "Coding",
        "base_model": "b",
        "model_prefix": "m",
        "eval": {"gate": {"min_tasks": 4}},
    }
)


def sample(task, role, outcome=Outcome.PASSED, **changes):
    values = {
        "role": role, "model": f"m:{'v2' if role is Role.CANDIDATE else 'v1'}", "task": task, "group": "g",
        "category": "c", "number": 0, "seed": 7, "prompt": f"do {task}", "answer": f"done {task}", "finish_reason": "stop",
        "outcome": outcome, "points": 100.0 if outcome is Outcome.PASSED else 0.0, "explanation": "3 of 3",
    }  # fmt: skip
    return Sample.model_validate(values | changes)


def both(task, ours=Outcome.PASSED, theirs=Outcome.PASSED, **changes):
    return [sample(task, Role.CANDIDATE, ours, **changes), sample(task, Role.INCUMBENT, theirs, **changes)]


def card_of(samples, **changes):
    tasks = tuple(Task(id=name, group="g", prompt="p") for name in sorted({one.task for one in samples}))
    request = EvaluateRequest(
        domain=DOMAIN,
        benchmark="a" * 64,
        candidate="m:v2",
        incumbent=changes.pop("incumbent", "m:v1"),
        **changes,
    )
    models = (Model(Role.CANDIDATE, "m:v2", "d2"), Model(Role.INCUMBENT, "m:v1", None))
    plan = Plan(models, (Suite("", tasks, 1, 0.7, 64, Scoring()),), 5, 0.9)
    return report.scorecard(
        request, Benchmark(sha256="a" * 64, tasks=tasks), plan, samples, Circumstances(sandbox="A: walls")
    )


def rendered(samples, **changes):
    return page.render(card_of(samples, **changes), samples)


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen, self.attributes = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attributes}


SAMPLES = [
    *both("same"),
    *both("gained", theirs=Outcome.WRONG),
    *both("lost", ours=Outcome.TIMEOUT),
    *both("also same", Outcome.WRONG, Outcome.ERROR, category="d"),
]


def test_flipped_tasks_come_first_and_lost_ones_before_all():
    shown = re.findall(r"<span class=id>([^<]+)<", rendered(SAMPLES))

    assert shown[:2] == ["lost", "gained"]
    assert set(shown[2:]) == {"same", "also same"}


@pytest.mark.parametrize("field", ["answer", "prompt", "explanation", "category", "model", "task", "group"])
def test_whatever_a_model_or_a_benchmark_writes_stays_text(field):
    samples = [*SAMPLES, *both(**({"task": "x"} | {field: HOSTILE}))]

    text = rendered(samples)

    tags = Tags(text)
    assert tags.seen.isdisjoint({"script", "img", "link", "iframe", "object", "form", "a"})
    assert not any(name.startswith("on") for name in tags.attributes)
    assert tags.attributes.isdisjoint({"src", "href", "style"})
    assert "onerror=alert" not in text[text.index("<style>") : text.index("</style>")]


def test_the_page_allows_its_own_style_sheet_and_nothing_else():
    text = rendered(SAMPLES)

    style = text[text.index("<style>") + len("<style>") : text.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy


def test_every_filter_has_its_rule_and_every_rule_its_tasks():
    text = rendered(SAMPLES)

    ids = set(re.findall(r"<input type=radio name=\w+ id=(\w+)", text)) - {"all", "every"}
    rules = set(re.findall(r"body:has\(#(\w+):checked\) \.task:not\(\.\1\)", text))
    classes = {name for found in re.findall(r"<details class='([^']+)'", text) for name in found.split()}
    assert ids == {"lost", "gained", "same", "c0", "c1"}
    assert ids <= rules
    assert ids <= classes


def test_the_page_says_the_verdict_in_words_and_draws_the_difference():
    text = rendered(SAMPLES)

    assert "<h1>m:v2 is not to be preferred to m:v1: m:v1 stays live</h1>" in text
    assert text.count("<circle") == 3  # overall and two categories
    assert "A: walls" in text


def test_a_comparison_of_two_versions_says_nothing_about_what_is_live():
    card = card_of(SAMPLES, is_against_live=False)

    assert card.headline == "m:v2 is not to be preferred to m:v1"
    assert "live" not in " ".join((*card.reasons, page.render(card, SAMPLES).partition("<style>")[2][6000:]))


def test_a_candidate_alone_is_shown_alone():
    alone = [one for one in SAMPLES if one.role is Role.CANDIDATE]

    card = card_of(alone, incumbent=None)

    assert (card.verdict, card.overall.difference, card.headline) == (
        Verdict.INSUFFICIENT_DATA,
        None,
        "There is too little to judge m:v2 by",
    )
    assert "<svg" not in page.render(card, alone)


def test_the_same_answer_is_shown_once_with_all_its_seeds():
    samples = [sample("t", Role.CANDIDATE, number=n, seed=n) for n in range(4)]

    text = rendered([*samples, *SAMPLES])

    assert text.count("done t<") == 1
    assert "× 4" in text
    assert "seed 0, 1, 2, 3" in text


def test_a_giant_answer_is_cut_and_the_page_says_so():
    samples = both("t", answer="x" * 1_000_000)

    text = rendered([*SAMPLES, *samples])

    assert len(text) < 100_000
    assert "980000 more characters are in the log" in text


def pair(**changes):
    return Pair("t", "g", **({"candidate": 50.0, "incumbent": 50.0} | changes))


@pytest.mark.parametrize(
    ("found", "change"),
    [
        (pair(candidate_passes=0.5, incumbent_passes=0.25), 1),
        (pair(candidate_passes=0.25, incumbent_passes=0.5, candidate=90.0), -1),
        (pair(candidate=59.0), 0),
        (pair(candidate=60.0), 1),
        (pair(candidate=40.0), -1),
        (pair(candidate=None), 0),
    ],
)
def test_a_flip_is_of_passes_or_else_of_ten_points(found, change):
    assert report.change(found) == change


def test_pass_at_k_counts_only_tasks_with_enough_judged_samples():
    whole = [sample("a", Role.CANDIDATE, (Outcome.PASSED, Outcome.WRONG)[n % 2], number=n) for n in range(4)]
    short = [sample("b", Role.CANDIDATE, Outcome.WRONG, number=n) for n in range(3)]
    broken = [sample("b", Role.CANDIDATE, Outcome.INFRA_ERROR, number=3, points=None)]

    rates = {rate.k: rate.candidate for rate in report.pass_rates([*whole, *short, *broken], 4)}

    assert [(k, figure.n) for k, figure in rates.items()] == [(1, 2), (2, 2), (4, 1)]
    assert rates[1].mean == 25
    assert rates[2].mean == pytest.approx(100 * (1 - 1 / 6) / 2)
    assert rates[4].mean == 100


def test_tasks_without_a_pass_mark_have_no_pass_rate():
    assert list(report.pass_rates([sample("a", Role.CANDIDATE, None, points=70.0)], 1)) == []


def test_junit_counts_failures_errors_and_skips():
    samples = [
        *SAMPLES,
        sample("ours", Role.CANDIDATE, Outcome.INFRA_ERROR, points=None),
        sample("open", Role.CANDIDATE, None, points=None),
    ]

    root = ET.fromstring(junit.render(card_of(samples), samples))

    first = root.find("testsuite[@name='c']")
    assert [first.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "1", "1"]
    assert root.find("testsuite[@name='d']").get("failures") == "1"
    assert first.find("properties/property[@name='verdict']").get("value") == "inconclusive"


def test_junit_holds_what_xml_cannot():
    samples = both("x\x00", Outcome.WRONG, Outcome.WRONG, explanation="\x1b[31m\ud800 ]]> <b>")

    root = ET.fromstring(junit.render(card_of([*SAMPLES, *samples]), [*SAMPLES, *samples]))

    case = next(case for case in root.iter("testcase") if case.get("name").startswith("x"))
    assert "]]> <b>" in case.find("failure").text


def test_on_a_narrow_screen_tables_and_the_chart_scroll_by_themselves():
    samples = [one for task in ("t1", "t2", "t3", "t4") for one in both(task, theirs=Outcome.WRONG)]

    text = page.render(card_of(samples), samples)

    assert (
        len(re.findall(r"<(?:table|svg)\b", text))
        == len(re.findall(r"<div class=wide><(?:table|svg)\b", text))
        > 2
    )
