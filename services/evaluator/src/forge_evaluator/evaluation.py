"""The EVALUATE stage: benchmark in, both models asked and judged, scorecard and reports out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import RunId
from forge_common.contracts.domain import Scoring
from forge_common.contracts.scorecard import ParityCheck
from forge_common.contracts.stages import EvaluateRequest, EvaluateResult
from forge_common.engine import Engine as OllamaEngine
from forge_common.logging import get_logger
from forge_common.queue.stage import Beat
from forge_evaluator import extract, junit, page, parity, report, scorers
from forge_evaluator.benchmarks import Task
from forge_evaluator.engine import Engine
from forge_evaluator.executions import Executions, sandbox_version
from forge_evaluator.opening import Evaluation, opened, tested
from forge_evaluator.runner import Model, Plan, Runner, Suite
from forge_evaluator.samples import Generations, Role, Sample, SampleLog, conclude, forget
from forge_evaluator.sandbox import NoSandbox, Pool, Tier
from forge_evaluator.scorers import Answered, Score, score
from forge_evaluator.scorers.agreement import Appointed, appoint
from forge_evaluator.scorers.code import Runs
from forge_evaluator.settings import Settings

log = get_logger()

_KEPT_S = 30 * 24 * 3600.0


def evaluate(
    request: EvaluateRequest,
    *,
    run_id: RunId,
    beat: Beat,
    settings: Settings,
    artifacts: ArtifactClient,
    tier: Tier | NoSandbox,
) -> EvaluateResult:
    """Raises NoSandbox when code must be run and no walls hold, EngineDown when the engine is silent, NotAsTrained when
    it serves something else than what was trained, BenchmarkUnusable when a benchmark fails its self-test; then nothing
    is scored.
    """
    began = time.monotonic()
    evaluation = opened(request, run_id, settings, artifacts)
    with _sandbox(evaluation, tier) as (sandbox, description):
        evaluation = tested(evaluation, sandbox, description, beat)
        equal = _parity(evaluation, beat)
        appointed = appoint(settings, (request.candidate, request.incumbent), evaluation.tasks())
        plan, samples, path = asyncio.run(_collect(evaluation, sandbox, description, appointed, beat))
    facts = report.Circumstances(
        sandbox=description,
        judge=appointed.text,
        parity=equal,
        remarks=evaluation.remarks,
        duration_s=time.monotonic() - began,
    )
    card = report.scorecard(evaluation.request, evaluation.own, plan, samples, facts)
    log.info("evaluation.finished", verdict=card.verdict, tasks=card.tasks, lower_bound=card.lower_bound)
    conclude(path, card)
    return EvaluateResult(
        scorecard=card,
        report=artifacts.push(path, "report"),
        page=artifacts.push_bytes(page.render(card, samples).encode(), "report-page"),
        junit=artifacts.push_bytes(junit.render(card, samples), "report-junit"),
    )


def _parity(evaluation: Evaluation, beat: Beat) -> tuple[ParityCheck, ...]:
    settings = evaluation.settings
    engine = OllamaEngine(settings.engine_url, timeout_s=settings.answer_timeout_s)
    with contextlib.closing(engine):
        return parity.check(evaluation.request, engine, beat)


async def _collect(
    evaluation: Evaluation, sandbox: Runs, description: str, appointed: Appointed, beat: Beat
) -> tuple[Plan, list[Sample], Path]:
    settings = evaluation.settings
    forget(settings.work / "generations", _KEPT_S)
    forget(settings.work / "runs", _KEPT_S, "*.jsonl")

    def judge(task: Task, answered: Answered, scoring: Scoring) -> Score:
        return score(task, answered, scoring, sandbox, appointed.judge)

    async with Engine(settings.engine_url, timeout_s=settings.answer_timeout_s) as engine:
        plan = await _plan(evaluation, engine)
        generations = Generations(settings.work / "generations", evaluation.run_id)
        runner = Runner(
            engine,
            judge,
            generations,
            beat,
            concurrency=settings.concurrency,
            judges=settings.sandboxes,
        )
        path = settings.work / "runs" / f"{evaluation.run_id}.jsonl"
        with SampleLog(path, _header(evaluation, plan, description, appointed.text)) as samples:
            return plan, await runner.run(plan, samples), path


async def _plan(evaluation: Evaluation, engine: Engine) -> Plan:
    request = evaluation.request
    names = {Role.CANDIDATE: request.candidate, Role.INCUMBENT: request.incumbent}
    models = [
        Model(role, name, await engine.digest(name)) for role, name in names.items() if name is not None
    ]
    return Plan(tuple(models), tuple(evaluation.suites()), request.seed, request.domain.ollama.top_p)


def _header(evaluation: Evaluation, plan: Plan, sandbox: str, judge: str) -> dict[str, JsonValue]:
    """What must be equal for samples to be taken over by another attempt, and what makes the log repeatable."""
    hashes = [benchmark.sha256 for benchmark in evaluation.benchmarks()]
    return {
        "domain": evaluation.request.domain.id,
        "benchmark": evaluation.own.sha256,
        "models": {model.role.value: [model.name, model.digest] for model in plan.models},
        "seed": plan.seed,
        "top_p": plan.top_p,
        "suites": [_suite(suite, sha256) for suite, sha256 in zip(plan.suites, hashes, strict=True)],
        "extractor": extract.VERSION,
        "scorers": scorers.VERSION,
        "sandbox": sandbox,
        "judge": judge,
    }


def _suite(suite: Suite, sha256: str) -> dict[str, JsonValue]:
    return {
        "name": suite.name,
        "benchmark": sha256,
        "tasks": len(suite.tasks),
        "samples": suite.samples,
        "temperature": suite.temperature,
        "max_tokens": suite.max_tokens,
        "scoring": suite.scoring.model_dump(mode="json"),
    }


@contextlib.contextmanager
def _sandbox(evaluation: Evaluation, tier: Tier | NoSandbox) -> Iterator[tuple[Runs, str]]:
    settings = evaluation.settings
    if not evaluation.runs_code():
        yield _NoCode(), "none: the benchmark has no code to run"
        return
    if isinstance(tier, NoSandbox):
        raise tier
    folder = settings.work / "executions"
    forget(folder, _KEPT_S)
    with Pool(tier, workers=settings.sandboxes, limits=settings.limits) as pool:
        yield Executions(pool, folder, sandbox_version(tier.description, settings.limits)), tier.description


class _NoCode:
    """Stands where no code is ever run."""

    def run(self, job: Any) -> Any:
        raise AssertionError(job)
