"""Asks both models the same questions with the same seeds, bounded in number, and scores every answer as it comes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forge_common.contracts.scorecard import Outcome
from forge_common.contracts.stages import Progress
from forge_common.logging import get_logger
from forge_common.queue.stage import Beat
from forge_evaluator.benchmarks import Task
from forge_evaluator.engine import AnswerFailed, Engine, Question
from forge_evaluator.samples import Generations, Role, Sample, SampleLog
from forge_evaluator.scorers import Answered, Score
from forge_evaluator.scorers.score import unscored

log = get_logger()


@dataclass(frozen=True, slots=True)
class Model:
    role: Role
    name: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """`samples` answers of every model to every task; seeds follow from `seed`, the task and the sample's number."""

    models: tuple[Model, ...]
    tasks: tuple[Task, ...]
    samples: int
    seed: int
    temperature: float
    top_p: float
    max_tokens: int

    def cells(self) -> Iterator[tuple[Model, Task, int]]:
        """Model by model, so that an engine with room for one need not swap them."""
        for model in self.models:
            for number in range(self.samples):
                for task in self.tasks:
                    yield model, task, number

    def question(self, model: Model, task: Task, number: int) -> Question:
        return Question(
            model=model.name,
            prompt=task.prompt,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=seed_for(self.seed, task.id, number),
        )


def seed_for(seed: int, task: str, number: int) -> int:
    """The same for every model: differences between models are then the models'."""
    digest = hashlib.sha256(f"{seed}:{task}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


class Runner:
    def __init__(
        self,
        engine: Engine,
        judge: Callable[[Task, Answered], Score],
        generations: Generations,
        beat: Beat,
        *,
        concurrency: int,
    ) -> None:
        self._engine = engine
        self._judge = judge
        self._generations = generations
        self._beat = beat
        self._concurrency = concurrency

    async def run(self, plan: Plan, log: SampleLog) -> list[Sample]:
        """All samples of `plan`, in its order; those that `log` has are not asked again.

        Raises EngineDown or EngineRefused: then nothing is concluded. Raises Cancelled.
        """
        cells = list(plan.cells())
        missing = [cell for cell in cells if _key(*cell) not in log.done]
        progress = _Eta(self._beat, len(cells), len(missing))
        queue = iter(missing)
        askers = [
            asyncio.create_task(self._work(queue, plan, log, progress))
            for _ in range(min(self._concurrency, len(missing)))
        ]
        try:
            await asyncio.gather(*askers)
        finally:
            for asker in askers:
                asker.cancel()
            await asyncio.gather(*askers, return_exceptions=True)
        return [log.done[_key(*cell)] for cell in cells]

    async def _work(
        self, queue: Iterator[tuple[Model, Task, int]], plan: Plan, log: SampleLog, progress: _Eta
    ) -> None:
        for model, task, number in queue:
            self._beat.check()
            sample = await self._sample(plan.question(model, task, number), model, task, number)
            log.append(sample)
            progress.step(sample)

    async def _sample(self, question: Question, model: Model, task: Task, number: int) -> Sample:
        began = time.monotonic()
        try:
            answered = await self._ask(question, model.digest)
            score = await asyncio.to_thread(self._score, task, answered)
        except AnswerFailed as error:
            answered = Answered(text="")
            score = unscored(f"unscored: {error.message}", Outcome.INFRA_ERROR)
        return Sample(
            role=model.role,
            model=model.name,
            task=task.id,
            group=task.group,
            category=task.category,
            number=number,
            seed=question.seed,
            prompt=task.prompt,
            answer=answered.text,
            finish_reason=answered.finish_reason,
            seconds=time.monotonic() - began,
            **dict(score),
        )

    def _score(self, task: Task, answered: Answered) -> Score:
        try:
            return self._judge(task, answered)
        except Exception:
            # Hostile text that breaks the judge is our bug: counted as such, and no reason to lose the evaluation.
            log.exception("judge.broke", task_id=task.id)
            return unscored("unscored: the judge broke on this answer", Outcome.INFRA_ERROR)

    async def _ask(self, question: Question, digest: str | None) -> Answered:
        known = self._generations.get(question, digest)
        if known is not None:
            return known
        answered = await self._engine.ask(question)
        self._generations.put(question, digest, answered)
        return answered


def _key(model: Model, task: Task, number: int) -> tuple[Role, str, int]:
    return model.role, task.id, number


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
                message=f"judging {sample.model}",
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
