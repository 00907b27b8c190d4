"""Tries one task up to N times. The first attempt is asked as the benchmark asks; later ones see the last answer and why it failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import Task
from forge_evaluator.engine import AnswerFailed, Question
from forge_evaluator.fences import strip
from forge_evaluator.practising.feedback import Judge, feedback
from forge_evaluator.practising.trace import Attempt, Trace
from forge_evaluator.runner import seed_for
from forge_evaluator.scorers import Answered
from forge_evaluator.scorers.score import unscored

Ask = Callable[[Question], Awaitable[Answered]]
Watch = Callable[[Task, Attempt, int], None]

# Asked again without any chance, many models repeat themselves.
RETRY_TEMPERATURE = 0.3


@dataclass(frozen=True, slots=True)
class Rules:
    model: str
    attempts: int
    seed: int
    temperature: float
    top_p: float
    max_tokens: int

    @classmethod
    def of(cls, domain: DomainDocument, *, model: str, attempts: int, seed: int) -> Rules:
        asked = domain.eval
        return cls(model, attempts, seed, asked.temperature, domain.ollama.top_p, asked.max_tokens)

    def question(self, task: Task, number: int, turns: tuple[str, ...]) -> Question:
        """`turns` holds one answer and what was wrong with it, or nothing: small models have small windows."""
        return Question(
            model=self.model,
            prompt=task.prompt,
            temperature=max(self.temperature, RETRY_TEMPERATURE) if turns else self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=seed_for(self.seed, task.id, number),
            turns=turns,
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """Raises EngineDown or EngineRefused: then nothing is concluded about the task."""

    rules: Rules
    ask: Ask
    judge: Judge
    watch: Watch

    async def practise(self, task: Task) -> Trace:
        made: list[Attempt] = []
        turns: tuple[str, ...] = ()
        for number in range(self.rules.attempts):
            attempt = await self._attempt(task, self.rules.question(task, number, turns))
            is_last = number + 1 == self.rules.attempts or not _can_be_told(attempt.outcome)
            if not is_last:
                told = await asyncio.to_thread(feedback, task, attempt, self.judge)
                attempt = attempt.model_copy(update={"told": told})
                # Without thinking, which no model is shown again.
                turns = (strip(attempt.answer).strip() or attempt.answer, told)
            made.append(attempt)
            self.watch(task, attempt, number + 1)
            if is_last:
                break
        return Trace(task=task.id, category=task.category, prompt=task.prompt, attempts=tuple(made))

    async def _attempt(self, task: Task, question: Question) -> Attempt:
        began = time.monotonic()
        answer, score = "", None
        try:
            answered = await self.ask(question)
        except AnswerFailed as error:
            score = unscored(error.message, Outcome.INFRA_ERROR)
        else:
            answer = answered.text
            score = await asyncio.to_thread(self.judge, task, answered)
        return Attempt(
            answer=answer,
            code=score.code,
            outcome=score.outcome,
            explanation=score.explanation,
            seed=question.seed,
            seconds=time.monotonic() - began,
        )


def _can_be_told(outcome: Outcome | None) -> bool:
    return outcome not in (Outcome.PASSED, Outcome.INFRA_ERROR, None)
