"""The EVALUATE stage: benchmark in, both models asked and judged, scorecard and reports out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import RunId
from forge_common.contracts.stages import EvaluateRequest, EvaluateResult
from forge_common.logging import get_logger
from forge_common.queue.stage import Beat
from forge_evaluator import extract, page, report
from forge_evaluator.benchmarks import Benchmark, CodeCheck, Task, read
from forge_evaluator.engine import Engine
from forge_evaluator.runner import Model, Plan, Runner
from forge_evaluator.samples import Generations, Role, Sample, SampleLog
from forge_evaluator.sandbox import Execution, Job, NoSandbox, Pool, Tier
from forge_evaluator.scorers import Answered, Score, score
from forge_evaluator.scorers.code import Runs
from forge_evaluator.settings import Settings

log = get_logger()


def evaluate(
    request: EvaluateRequest,
    *,
    run_id: RunId,
    beat: Beat,
    settings: Settings,
    artifacts: ArtifactClient,
    tier: Tier | NoSandbox,
) -> EvaluateResult:
    """Raises NoSandbox when code must be run and no walls hold, EngineDown when the engine is silent; then nothing is scored."""
    began = time.monotonic()
    benchmark = read(artifacts.fetch(request.benchmark).read_bytes())
    with _sandbox(benchmark, tier, settings) as (sandbox, description):
        job = _Job(request, run_id, benchmark, sandbox, description)
        plan, samples, path = asyncio.run(_collect(job, beat, settings))
    card = report.scorecard(
        request, benchmark, plan, samples, sandbox=description, duration_s=time.monotonic() - began
    )
    log.info("evaluation.finished", verdict=card.verdict, tasks=card.tasks, lower_bound=card.lower_bound)
    return EvaluateResult(
        scorecard=card,
        report=artifacts.push(path, "report"),
        page=artifacts.push_bytes(page.render(card, samples).encode(), "report-page"),
    )


@dataclass(frozen=True, slots=True)
class _Job:
    request: EvaluateRequest
    run_id: RunId
    benchmark: Benchmark
    sandbox: Runs
    description: str

    def judge(self, task: Task, answered: Answered) -> Score:
        return score(task, answered, self.request.domain.eval.scoring, self.sandbox)


async def _collect(job: _Job, beat: Beat, settings: Settings) -> tuple[Plan, list[Sample], Path]:
    async with Engine(settings.engine_url, timeout_s=settings.answer_timeout_s) as engine:
        plan = await _plan(job.request, job.benchmark, engine)
        generations = Generations(settings.work / "generations", job.run_id)
        runner = Runner(engine, job.judge, generations, beat, concurrency=settings.concurrency)
        path = settings.work / "runs" / f"{job.run_id}.jsonl"
        with SampleLog(path, _header(job.request, plan, job.benchmark, job.description)) as samples:
            return plan, await runner.run(plan, samples), path


async def _plan(request: EvaluateRequest, benchmark: Benchmark, engine: Engine) -> Plan:
    rules = request.domain.eval
    names = {Role.CANDIDATE: request.candidate, Role.INCUMBENT: request.incumbent}
    models = [
        Model(role, name, await engine.digest(name)) for role, name in names.items() if name is not None
    ]
    return Plan(
        models=tuple(models),
        tasks=tuple(task for task in benchmark.tasks if task.check is not None) or benchmark.tasks,
        samples=rules.gate.samples,
        seed=request.seed,
        temperature=rules.temperature,
        top_p=request.domain.ollama.top_p,
        max_tokens=rules.max_tokens,
    )


def _header(request: EvaluateRequest, plan: Plan, benchmark: Benchmark, sandbox: str) -> dict[str, JsonValue]:
    """What must be equal for samples to be taken over by another attempt, and what makes the log repeatable."""
    return {
        "domain": request.domain.id,
        "benchmark": benchmark.sha256,
        "models": {model.role.value: [model.name, model.digest] for model in plan.models},
        "samples": plan.samples,
        "seed": plan.seed,
        "temperature": plan.temperature,
        "top_p": plan.top_p,
        "max_tokens": plan.max_tokens,
        "scoring": request.domain.eval.scoring.model_dump(mode="json"),
        "extractor": extract.VERSION,
        "sandbox": sandbox,
    }


@contextlib.contextmanager
def _sandbox(benchmark: Benchmark, tier: Tier | NoSandbox, settings: Settings) -> Iterator[tuple[Runs, str]]:
    if not any(isinstance(task.check, CodeCheck) for task in benchmark.tasks):
        yield _NoCode(), "none: the benchmark has no code to run"
        return
    if isinstance(tier, NoSandbox):
        raise tier
    with Pool(tier, workers=settings.sandboxes, limits=settings.limits) as pool:
        yield pool, tier.description


class _NoCode:
    """Stands where no code is ever run."""

    def run(self, job: Job) -> Execution:
        raise AssertionError(job.entry_point)
