"""Whether a benchmark tells right from wrong: its gold answers must pass, worthless ones must not. By the domain's weights.

A benchmark that fails is refused. What was tested once is not tested again: the outcome lies under the hash of the
benchmark, the weights, the sandbox and the scorers themselves.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from forge_common.contracts.domain import Scoring
from forge_common.contracts.scorecard import Outcome
from forge_evaluator import metamorphic
from forge_evaluator.benchmarks.checks import CodeCheck
from forge_evaluator.benchmarks.load import Benchmark
from forge_evaluator.benchmarks.manifest import BenchmarkUnusable
from forge_evaluator.benchmarks.task import Task
from forge_evaluator.scorers import Answered, Score, score
from forge_evaluator.scorers.code import CODE_CHECKS, Runs
from forge_evaluator.syntax import knows

GOLD_AT_LEAST, OTHERS_AT_MOST = 95.0, 15.0
_SEED = Scoring()
_NAMED = 5


Told: TypeAlias = Callable[[int, int], None]
"""Hears how many of how many tasks are tested. What it raises ends the test."""


def _untold(_done: int, _of: int) -> None:
    return


class Flaw(BaseModel):
    model_config = ConfigDict(frozen=True)

    task: str
    answer: str
    points: float | None
    explanation: str


class SelfTest(BaseModel):
    """`untested`: tasks that this machine could not run (no Node, a sandbox that failed); nothing is said of them."""

    model_config = ConfigDict(frozen=True)

    flaws: tuple[Flaw, ...] = ()
    untested: tuple[str, ...] = ()


def check(
    benchmark: Benchmark,
    sandbox: Runs,
    weights: Scoring = _SEED,
    *,
    threads: int = 4,
    told: Told = _untold,
) -> SelfTest:
    """Tasks without a check are left out: they are asked and never scored. `told` how many of how many are tested."""
    tasks = [task for task in benchmark.tasks if task.check is not None]
    found: list[_Tested] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for tested in pool.map(lambda task: _Tested(task, sandbox, weights), tasks):
            found.append(tested)
            told(len(found), len(tasks))
    finally:
        pool.shutdown(cancel_futures=True)
    return SelfTest(
        flaws=tuple(flaw for tested in found for flaw in tested.flaws),
        untested=tuple(tested.task.id for tested in found if tested.is_untested),
    )


def require(
    benchmark: Benchmark,
    sandbox: Runs,
    weights: Scoring,
    *,
    sandbox_name: str,
    folder: Path,
    told: Told = _untold,
) -> SelfTest:
    """The self-test, or what is remembered of it in `folder`. Raises BenchmarkUnusable with the flaws."""
    place = folder / f"{_key(benchmark, weights, sandbox_name)}.json"
    tested = _remembered(place) or check(benchmark, sandbox, weights, told=told)
    if not tested.untested:
        _remember(place, tested)
    if tested.flaws:
        raise BenchmarkUnusable(
            _listed(tested), fix="mend these tasks, or leave them out: `forge bench check FILE --out FILE`"
        )
    return tested


def _listed(tested: SelfTest) -> str:
    named = [
        f"{f.task}: {f.answer} scores {_points(f.points)} ({f.explanation[:160]})"
        for f in tested.flaws[:_NAMED]
    ]
    more = f"; and {len(tested.flaws) - _NAMED} more" if len(tested.flaws) > _NAMED else ""
    return f"the benchmark fails its self-test: {'; '.join(named)}{more}"


def _points(points: float | None) -> str:
    return "nothing" if points is None else f"{points:.1f}"


class _Tested:
    def __init__(self, task: Task, sandbox: Runs, weights: Scoring) -> None:
        self.task = task
        self.is_untested = False
        self._sandbox = sandbox
        self._weights = weights
        self.flaws = [*_misspelt(task), *self._flaws()]

    def _flaws(self) -> Iterator[Flaw]:
        for name, text in (("gold", self.task.gold_answer), *metamorphic.worthless(self.task)):
            judged = self._judge(text)
            if judged.outcome is Outcome.INFRA_ERROR:
                self.is_untested = True
            elif not (_is_right(self.task, judged) if name == "gold" else _is_low(judged)):
                why = "; ".join((judged.explanation, *judged.evidence[:4]))
                yield Flaw(task=self.task.id, answer=name, points=judged.points, explanation=why)

    def _judge(self, text: str) -> Score:
        judged = score(self.task, Answered(text=text), self._weights, self._sandbox)
        if judged.outcome is Outcome.INFRA_ERROR:
            judged = score(self.task, Answered(text=text), self._weights, self._sandbox)
        return judged


def _is_right(task: Task, judged: Score) -> bool:
    """Every test of a program decided, and for it; not only most of the points."""
    if isinstance(task.check, CODE_CHECKS) and judged.outcome not in (Outcome.PASSED, None):
        return False
    return judged.points is not None and judged.points >= GOLD_AT_LEAST


def _is_low(judged: Score) -> bool:
    return judged.points is not None and judged.points <= OTHERS_AT_MOST


def _misspelt(task: Task) -> Iterator[Flaw]:
    if isinstance(task.check, CodeCheck):
        for what in (*task.check.forbids, *task.check.requires):
            if not knows(what, task.check.language.value):
                why = f"{what!r} is no node type of {task.check.language.value}, no `call:` and no `import:`"
                yield Flaw(task=task.id, answer="rule", points=None, explanation=why)


def _key(benchmark: Benchmark, weights: Scoring, sandbox_name: str) -> str:
    parts = (benchmark.sha256, weights.model_dump_json(), sandbox_name, _scorers())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _scorers() -> str:
    """The hash of this package's own code: another scorer is another self-test."""
    digest = hashlib.sha256()
    for file in sorted(_sources(resources.files("forge_evaluator")), key=lambda file: file.name):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith((".py", ".js")):
            yield entry


def _remembered(place: Path) -> SelfTest | None:
    try:
        return SelfTest.model_validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None


def _remember(place: Path, tested: SelfTest) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_suffix(f".{os.getpid()}")
    aside.write_text(tested.model_dump_json(), encoding="utf-8")
    aside.replace(place)
