"""Asks both models the same questions with the same seeds, bounded in number, and scores every answer as it comes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from forge_common.contracts.domain import Scoring
from forge_common.contracts.scorecard import Outcome
from forge_common.contracts.stages import Progress
from forge_common.logging import get_logger
from forge_common.queue.stage import Beat
from forge_evaluator.benchmarks import Task
from forge_evaluator.engine import AnswerFailed, Engine, Question
from forge_evaluator.samples import Generations, Key, Role, Sample, SampleLog
from forge_evaluator.scorers import Answered, Score
from forge_evaluator.scorers.score import unscored

log = get_logger()


@dataclass(frozen=True, slots=True)
class Model:
    role: Role
    name: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Suite:
    """Tasks that are asked and scored alike: the domain's own benchmark, whose name is empty, or a guarding domain's."""

    name: str
    tasks: tuple[Task, ...]
    samples: int
    temperature: float
    max_tokens: int
    scoring: Scoring


class Cell(NamedTuple):
    """One answer that is wanted."""

    model: Model
    suite: Suite
    task: Task
    number: int

    @property
    def key(self) -> Key:
        return Key(self.model.role, self.suite.name, self.task.id, self.number)


@dataclass(frozen=True, slots=True)
class Plan:
    """Every model answers every task of every suite; seeds follow from `seed`, the task and the sample's number."""

    models: tuple[Model, ...]
    suites: tuple[Suite, ...]
    seed: int
    top_p: float

    @property
    def own(self) -> Suite:
        return self.suites[0]

    def cells(self) -> Iterator[Cell]:
        """Model by model, so that an engine with room for one need not swap them."""
        for model in self.models:
            for suite in self.suites:
                for number in range(suite.samples):
                    for task in suite.tasks:
                        yield Cell(model, suite, task, number)

    def question(self, cell: Cell) -> Question:
        return Question(
            model=cell.model.name,
            prompt=cell.task.prompt,
            temperature=cell.suite.temperature,
            top_p=self.top_p,
            max_tokens=cell.suite.max_tokens,
            seed=seed_for(self.seed, cell.task.id, cell.number),
        )


def seed_for(seed: int, task: str, number: int) -> int:
    """The same for every model: differences between models are then the models'."""
    digest = hashlib.sha256(f"{seed}:{task}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


Judge = Callable[[Task, Answered, Scoring], Score]


class Runner:
    """At most `concurrency` questions are with the engine at once; meanwhile `judges` answers more may be judged."""

    def __init__(
        self,
        engine: Engine,
        judge: Judge,
        generations: Generations,
        beat: Beat,
        *,
        concurrency: int,
        judges: int = 1,
    ) -> None:
        self._engine = engine
        self._judge = judge
        self._generations = generations
        self._beat = beat
        self._asking = asyncio.Semaphore(concurrency)
        self._workers = concurrency + judges

    async def run(self, plan: Plan, log: SampleLog) -> list[Sample]:
        """All samples of `plan`, in its order; those that `log` has are not asked again.

        Raises EngineDown or EngineRefused: then nothing is concluded. Raises Cancelled.
        """
        cells = list(plan.cells())
        missing = [cell for cell in cells if cell.key not in log.done]
        progress = _Eta(self._beat, len(cells), len(missing))
        queue = iter(missing)
        workers = [
            asyncio.create_task(self._work(queue, plan, log, progress))
            for _ in range(min(self._workers, len(missing)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [log.done[cell.key] for cell in cells]

    async def _work(self, queue: Iterator[Cell], plan: Plan, log: SampleLog, progress: _Eta) -> None:
        for cell in queue:
            self._beat.check()
            sample = await self._sample(plan.question(cell), cell)
            log.append(sample)
            progress.step(sample)

    async def _sample(self, question: Question, cell: Cell) -> Sample:
        began = time.monotonic()
        try:
            async with self._asking:
                answered = await self._ask(question, cell.model.digest)
            score = await asyncio.to_thread(self._score, cell, answered)
        except AnswerFailed as error:
            answered = Answered(text="")
            score = unscored(f"unscored: {error.message}", Outcome.INFRA_ERROR)
        return Sample(
            role=cell.model.role,
            model=cell.model.name,
            suite=cell.suite.name,
            task=cell.task.id,
            group=cell.task.group,
            category=cell.task.category,
            is_canary=cell.task.canary,
            number=cell.number,
            seed=question.seed,
            prompt=cell.task.prompt,
            answer=answered.text,
            finish_reason=answered.finish_reason,
            seconds=time.monotonic() - began,
            **dict(score),
        )

    def _score(self, cell: Cell, answered: Answered) -> Score:
        try:
            return self._judge(cell.task, answered, cell.suite.scoring)
        except Exception:
            # Hostile text that breaks the judge is our bug: counted as such, and no reason to lose the evaluation.
            log.exception("judge.broke", task_id=cell.task.id)
            return unscored("unscored: the judge broke on this answer", Outcome.INFRA_ERROR)

    async def _ask(self, question: Question, digest: str | None) -> Answered:
        known = self._generations.get(question, digest)
        if known is not None:
            return known
        self._beat.check()
        answered = await self._engine.ask(question)
        self._generations.put(question, digest, answered)
        return answered


class _Eta:
    """Progress with the time that is left, from the pace of this attempt."""

    def __init__(self, beat: Beat, total: int, missing: int) -> None:
        self._beat = beat
        self._total = total
        self._left = missing
        self._done = 0
        self._passed = {role: [0, 0] for role in Role}
        self._began = time.monotonic()

    def step(self, sample: Sample) -> None:
        self._done += 1
        self._left -= 1
        passed = self._passed[sample.role]
        passed[0] += sample.outcome is Outcome.PASSED
        passed[1] += 1
        pace = (time.monotonic() - self._began) / self._done
        self._beat.progress(
            Progress(
                message=f"judging {sample.model}" + (f" on {sample.suite}" if sample.suite else ""),
                step=self._total - self._left,
                of=self._total,
                eta_s=pace * self._left,
                metrics={
                    f"{role.value}_passed": 100.0 * passed / asked
                    for role, (passed, asked) in self._passed.items()
                    if asked
                },
            )
        )
