"""The report for a build server: JUnit XML, one test case a task. A task fails that the candidate fails, or lost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from forge_common.contracts.scorecard import Outcome, Scorecard
from forge_evaluator import answers
from forge_evaluator.answers import Shown
from forge_evaluator.samples import Role, Sample

_HALF = 0.5
# XML 1.0 has no way to write these, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(card: Scorecard, samples: Sequence[Sample]) -> bytes:
    tasks = sorted(answers.by_task(samples), key=lambda one: (one.category, one.pair.task))
    root = ET.Element("testsuites", name=_clean(f"{card.candidate} against {card.incumbent or 'nothing'}"))
    for category in sorted({one.category for one in tasks}):
        root.append(_suite(card, category, [one for one in tasks if one.category == category]))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _suite(card: Scorecard, category: str, tasks: Sequence[Shown]) -> ET.Element:
    cases = [_case(category, one) for one in tasks]
    suite = ET.Element("testsuite", name=_clean(category), tests=str(len(cases)))
    for kind, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(plural, str(sum(case.find(kind) is not None for case in cases)))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(card):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    suite.extend(cases)
    return suite


def _properties(card: Scorecard) -> Iterator[tuple[str, str]]:
    yield "verdict", card.verdict
    yield "headline", card.headline
    yield "benchmark", card.benchmark
    yield "sandbox", card.sandbox
    yield "seed", str(card.seed)


def _case(category: str, one: Shown) -> ET.Element:
    ours = [sample for sample in one.samples if sample.role is Role.CANDIDATE]
    seconds = sum(sample.seconds for sample in ours)
    case = ET.Element(
        "testcase", name=_clean(one.pair.task), classname=_clean(category), time=f"{seconds:.3f}"
    )
    kind, message = _trouble(one, ours)
    if kind:
        trouble = ET.SubElement(case, kind, message=_clean(message))
        trouble.text = _clean("\n".join(_lines(ours)))
    return case


def _trouble(one: Shown, ours: Sequence[Sample]) -> tuple[str, str]:
    """`error` is our own failure, `skipped` a task that nothing could score."""
    passes, points = one.pair.candidate_passes, one.pair.candidate
    if points is None and any(sample.outcome is Outcome.INFRA_ERROR for sample in ours):
        return "error", "could not be judged because of our own errors"
    if points is None:
        return "skipped", "unscored"
    if one.change < 0:
        return "failure", f"worse than before: {points:.0f} points after {one.pair.incumbent or 0:.0f}"
    if passes is not None and passes < _HALF:
        return "failure", f"{passes:.0%} of the answers passed"
    return "", ""


def _lines(samples: Sequence[Sample]) -> Iterator[str]:
    for sample in samples:
        if not sample.passed:
            yield f"seed {sample.seed}: {sample.outcome or 'no pass mark'}: {sample.explanation}"
            yield from (f"  {line}" for line in sample.evidence)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
