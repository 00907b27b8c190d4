"""`answers FILE --benchmark FILE`: scores answers made elsewhere on this machine, with neither registry nor engine."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from forge_common.contracts.domain import DomainDocument, Scoring
from forge_common.contracts.scorecard import Outcome, Scorecard
from forge_evaluator import junit, page
from forge_evaluator.benchmarks import Benchmark, BenchmarkUnusable, load, read, selftest, shipped
from forge_evaluator.completions import Answers, Judging, judge, read_answers, scorecard
from forge_evaluator.events import Events
from forge_evaluator.samples import Sample
from forge_evaluator.scorers.code import Runs
from forge_evaluator.settings import Settings
from forge_evaluator.walls import walls_for

_NAMED = 20


def add(commands: Any) -> None:
    parser = commands.add_parser("answers", help="score answers made elsewhere; calls no model")
    parser.add_argument("file", type=Path)
    benchmark = parser.add_mutually_exclusive_group(required=True)
    benchmark.add_argument("--benchmark", type=Path)
    benchmark.add_argument("--shipped", help="the shipped benchmark of that domain")
    parser.add_argument("--document", type=Path, help="the domain document whose weights score")
    parser.add_argument("--out", type=Path, help="a folder for scorecard, report, JUnit and samples")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace, events: Events) -> int:
    settings, began = Settings(), time.monotonic()
    benchmark = load(arguments.benchmark) if arguments.benchmark else read(shipped(arguments.shipped))
    domain, scoring = weights_of(arguments.document)
    answers = read_answers(arguments.file, benchmark)
    with walls_for(benchmark.tasks, settings) as (sandbox, description):
        untrusted = _distrust(benchmark, scoring, (sandbox, description), settings, events)
        judging = Judging(
            benchmark, scoring, sandbox, description, settings.work / "answers", settings.sandboxes
        )
        samples, log = judge(answers, judging, arguments.file.name, _Told(events))
    seconds = time.monotonic() - began
    card = scorecard(samples, judging, domain=domain, name=arguments.file.name, duration_s=seconds)
    files = _written(arguments.out, card, samples, log) if arguments.out else []
    events.result(
        _document(card, answers, benchmark) | {"files": files, "log": str(log), "benchmark_flaws": untrusted}
    )
    return 0


def _distrust(
    benchmark: Benchmark, scoring: Scoring, walls: tuple[Runs, str], settings: Settings, events: Events
) -> str | None:
    """Why the benchmark cannot be trusted to tell right from wrong; None when it can. Shipped ones are tested by our tests.

    Told and not refused: a public file with one bad task is still what everybody else's figures are from.
    """
    if benchmark.sha256 in _shipped():
        return None
    events.progress("testing the benchmark, once", 0, 1)
    sandbox, name = walls
    try:
        selftest.require(benchmark, sandbox, scoring, sandbox_name=name, folder=settings.work / "selftests")
    except BenchmarkUnusable as error:
        return error.message
    return None


def _shipped() -> set[str]:
    return {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in _files() if path.name.endswith(".jsonl")
    }


def _files() -> Iterator[Traversable]:
    return resources.files("forge_evaluator.benchmarks").iterdir()


class _Told:
    def __init__(self, events: Events) -> None:
        self._events = events
        self._passed = 0

    def __call__(self, sample: Sample, done: int, of: int) -> None:
        self._passed += sample.outcome is Outcome.PASSED
        self._events.progress(f"{self._passed:,} passed", done, of)


def weights_of(document: Path | None) -> tuple[str, Scoring]:
    """The domain's name and weights; without a document the seed's weights."""
    if document is None:
        return "none", Scoring()
    domain = DomainDocument.model_validate_json(document.read_bytes())
    return domain.id, domain.eval.scoring


def _document(card: Scorecard, answers: Answers, benchmark: Benchmark) -> dict[str, Any]:
    missing = answers.missing(benchmark)
    return {
        "scorecard": card.model_dump(mode="json"),
        "answers": len(answers),
        "answered": len(answers.texts),
        "missing": {"tasks": len(missing), "ids": missing[:_NAMED]},
        "unknown": {"answers": answers.unknown.total(), "ids": list(answers.unknown)[:_NAMED]},
        "refused": [asdict(refused) for refused in answers.refused],
    }


def _written(folder: Path, card: Scorecard, samples: list[Sample], log: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scorecard.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page.render(card, samples), encoding="utf-8")
    (folder / "junit.xml").write_bytes(junit.render(card, samples))
    shutil.copyfile(log, folder / "samples.jsonl")
    return [str(folder / name) for name in ("scorecard.json", "report.html", "junit.xml", "samples.jsonl")]
