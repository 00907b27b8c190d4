"""What practice teaches, as exchanges for the collector: the prompt with the answer that passed, and the pair with the one that failed.

Nothing of the talk in between is sent: a model should learn to be right, not to be told that it was wrong.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pydantic import JsonValue

from forge_common.contracts.base import ExchangeId
from forge_common.contracts.domain import DomainDocument
from forge_evaluator.benchmarks import (
    Check,
    ChoiceCheck,
    CodeCheck,
    DocumentCheck,
    ExactCheck,
    HarnessCheck,
    NumberCheck,
    ShellCheck,
    SqlCheck,
    Task,
)
from forge_evaluator.practising.trace import Attempt, Trace

Body = dict[str, JsonValue]
_LANGUAGES: dict[type, str] = {SqlCheck: "sql", ShellCheck: "bash", HarnessCheck: "python"}
# Opened by the answer, or by the chat template before it.
_THOUGHT = re.compile(r"\s*(?:<think>)?((?:(?!<think>).)*?)</think>", re.DOTALL)
_PROSE = (ChoiceCheck, DocumentCheck, ExactCheck, NumberCheck)


@dataclass(frozen=True, slots=True)
class Lesson:
    """`passed` is trained on. `failed`, where there is one, is the answer that it is preferred to."""

    passed: Body
    failed: Body | None


def lesson(trace: Trace, task: Task, domain: DomainDocument, *, model: str, engine_url: str) -> Lesson | None:
    """None for a task that was not solved."""
    if trace.solved_at is None:
        return None
    last, first = trace.attempts[trace.solved_at - 1], trace.attempts[0]

    def body(attempt: Attempt, answer: str) -> Body:
        return {
            "id": _id(domain.id, trace.prompt, answer),
            "domain": domain.id,
            "origin": "practice",
            "upstream": engine_url,
            "model_asked": model,
            "model_served": model,
            "messages": [*_system(domain), {"role": "user", "content": trace.prompt}],
            "answer": {"role": "assistant", **_spoken(answer)},
            "task_type": "reasoning" if isinstance(task.check, _PROSE) else "coding",
            "total_s": attempt.seconds,
        }

    passed = body(last, final_answer(last, task.check, is_repaired=trace.solved_at > 1))
    if trace.solved_at == 1 or not first.answer.strip():
        return Lesson(passed, None)
    return Lesson(passed, body(first, first.answer) | {"pair_of": passed["id"]})


def final_answer(attempt: Attempt, check: Check | None, *, is_repaired: bool) -> str:
    """The answer that passed. Of a repaired one only the code: the words around it are about the failure before."""
    if not is_repaired or attempt.code is None or check is None or isinstance(check, _PROSE):
        return attempt.answer
    ticks = "`" * max(3, 1 + _longest_run(attempt.code))
    return f"{ticks}{_language(check)}\n{attempt.code.strip(chr(10))}\n{ticks}"


def _spoken(answer: str) -> Body:
    """Thinking has a field of its own, as in captured exchanges; it is no part of what was said."""
    thought = _THOUGHT.match(answer)
    if thought is None:
        return {"content": answer}
    return {"content": answer[thought.end() :].lstrip("\n"), "thinking": thought[1].strip()}


def _language(check: Check) -> str:
    return check.language.value if isinstance(check, CodeCheck) else _LANGUAGES.get(type(check), "")


def _longest_run(text: str) -> int:
    return max(map(len, "".join(c if c == "`" else " " for c in text).split()), default=0)


def _system(domain: DomainDocument) -> list[JsonValue]:
    """As the engine puts it before every prompt."""
    return [{"role": "system", "content": domain.system_prompt}] if domain.system_prompt else []


def _id(domain: str, prompt: str, answer: str) -> ExchangeId:
    """The same answer to the same task is one exchange, however often it is found."""
    digest = hashlib.sha256(f"{domain}\0{prompt}\0{answer}".encode("utf-8", "replace")).hexdigest()
    return ExchangeId(f"practice-{digest[:32]}")
