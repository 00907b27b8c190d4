"""Fetches, reads and tests the benchmarks of an evaluation. Asks no model.

The domain's own benchmark, and guards that the domain names, must be usable. A guard that is there only because its domain
is on the same base is left out when it is not, and the report says so: one domain's poor tasks stop no other's runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import RunId
from forge_common.contracts.domain import Scoring
from forge_common.contracts.stages import EvaluateRequest, GuardBenchmark, Progress
from forge_common.queue.stage import Beat
from forge_evaluator.benchmarks import Benchmark, BenchmarkUnusable, Task, read, selftest
from forge_evaluator.benchmarks.checks import ChoiceCheck, DocumentCheck, ExactCheck, NumberCheck, ParsedCheck
from forge_evaluator.runner import Suite
from forge_evaluator.scorers.code import Runs
from forge_evaluator.settings import Settings

_READ = (ExactCheck, ChoiceCheck, NumberCheck, DocumentCheck, ParsedCheck)


class Guarding(NamedTuple):
    """Another domain, and its benchmark."""

    guard: GuardBenchmark
    benchmark: Benchmark


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the stage is about, once its benchmarks are here. `remarks` say what was left out, and why."""

    request: EvaluateRequest
    run_id: RunId
    settings: Settings
    own: Benchmark
    guarding: tuple[Guarding, ...] = ()
    remarks: tuple[str, ...] = ()

    def benchmarks(self) -> Iterator[Benchmark]:
        yield self.own
        yield from (one.benchmark for one in self.guarding)

    def tasks(self) -> Iterator[Task]:
        return (task for benchmark in self.benchmarks() for task in benchmark.tasks)

    def runs_code(self) -> bool:
        checks = [task.check for task in self.tasks()]
        return any(check is not None and not isinstance(check, _READ) for check in checks)

    def suites(self) -> Iterator[Suite]:
        """In the order of `benchmarks`."""
        rules = self.request.domain.eval
        yield Suite(
            "", _askable(self.own), rules.gate.samples, rules.temperature, rules.max_tokens, rules.scoring
        )
        for guard, benchmark in self.guarding:
            tasks = _some(guard, benchmark)
            yield Suite(guard.domain, tasks, 1, guard.temperature, guard.max_tokens, guard.scoring)


def opened(
    request: EvaluateRequest, run_id: RunId, settings: Settings, artifacts: ArtifactClient
) -> Evaluation:
    """Raises BenchmarkUnusable."""

    def fetched(sha256: str) -> Benchmark:
        return read(artifacts.fetch(sha256).read_bytes())

    try:
        own = fetched(request.benchmark)
    except BenchmarkUnusable as error:
        raise _whose(request.domain.id, error) from error
    evaluation = Evaluation(request, run_id, settings, own)
    return _guarded(evaluation, request.guards, lambda guard: Guarding(guard, fetched(guard.benchmark)))


def tested(evaluation: Evaluation, sandbox: Runs, description: str, beat: Beat) -> Evaluation:
    """A benchmark that cannot tell right from wrong judges nobody. Remembered: what was tested once costs nothing.

    Raises BenchmarkUnusable.
    """
    request, folder = evaluation.request, evaluation.settings.work / "selftests"

    def told(done: int, of: int) -> None:
        beat.check()
        beat.progress(Progress(message="testing the benchmark", step=done, of=of))

    def sound(one: Guarding) -> Guarding:
        test(one.benchmark, one.guard.scoring)
        return one

    def test(benchmark: Benchmark, scoring: Scoring) -> None:
        selftest.require(benchmark, sandbox, scoring, sandbox_name=description, folder=folder, told=told)

    try:
        test(evaluation.own, request.domain.eval.scoring)
    except BenchmarkUnusable as error:
        raise _whose(request.domain.id, error) from error
    benchmarks = {one.guard.domain: one for one in evaluation.guarding}
    return _guarded(evaluation, request.guards, lambda guard: sound(benchmarks[guard.domain]))


def _guarded(
    evaluation: Evaluation, guards: tuple[GuardBenchmark, ...], use: Callable[[GuardBenchmark], Guarding]
) -> Evaluation:
    """With those of `guards` that `use` takes; the request is the evaluation's then, without the others."""
    named = evaluation.request.domain.eval.guard_domains or ()
    guarding, remarks = [], list(evaluation.remarks)
    for guard in guards:
        try:
            guarding.append(use(guard))
        except BenchmarkUnusable as error:
            if guard.domain in named:
                raise _whose(guard.domain, error) from error
            remarks.append(f"not guarded by the domain {guard.domain!r}: {error.message}")
    request = evaluation.request.model_copy(update={"guards": tuple(one.guard for one in guarding)})
    return replace(evaluation, request=request, guarding=tuple(guarding), remarks=tuple(remarks))


def _whose(domain: str, error: BenchmarkUnusable) -> BenchmarkUnusable:
    """A run may read several benchmarks: an error says whose it was."""
    return BenchmarkUnusable(f"the benchmark of {domain!r}: {error.message}", fix=error.fix)


def _askable(benchmark: Benchmark) -> tuple[Task, ...]:
    """Without any that can be scored, all of them: the report then says that nothing could be."""
    return tuple(task for task in benchmark.tasks if task.check is not None) or benchmark.tasks


def _some(guard: GuardBenchmark, benchmark: Benchmark) -> tuple[Task, ...]:
    """The same few for every candidate, from all over the benchmark."""

    def shuffled(task: Task) -> bytes:
        return hashlib.sha256(f"{benchmark.sha256}:{task.id}".encode()).digest()

    chosen = sorted(_askable(benchmark), key=shuffled)[: guard.tasks]
    return tuple(sorted(chosen, key=lambda task: task.id))
