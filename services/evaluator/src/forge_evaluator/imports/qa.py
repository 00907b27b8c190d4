"""Questions with a reference answer. Short ones are compared as they are; long ones only a judge can compare, and it says so."""

from __future__ import annotations

from pydantic import JsonValue

from forge_evaluator.benchmarks import Criterion, DocumentCheck, ExactCheck, Task
from forge_evaluator.benchmarks.checks import Check
from forge_evaluator.imports.records import Fields, Unreadable, label, text

_SHORT_WORDS = 8
_ASK = "Answer with the answer alone, without a sentence around it."


def task(fields: Fields, line: int) -> Task:
    question = text(fields, "question", "prompt", "input", "instruction").strip()
    answers = _answers(fields)
    context = fields.get("context")
    if isinstance(context, str) and context.strip():
        question = f"{context.strip()}\n\n{question}"
    is_short = all(len(answer.split()) <= _SHORT_WORDS for answer in answers)
    return Task(
        id=label(fields, "id", "question_id", "task_id") or f"qa/{line}",
        category=label(fields, "category", "subject", "topic") or "qa",
        group="qa",
        prompt=f"{question}\n\n{_ASK}" if is_short else question,
        gold_answer=answers[0],
        check=_short(answers) if is_short else _long(answers[0]),
    )


def _short(answers: list[str]) -> Check:
    return ExactCheck(expected=answers[0], also=tuple(answers[1:]))


def _long(answer: str) -> Check:
    criterion = Criterion(
        id="agrees",
        text=f"Says the same as the reference answer, and nothing against it: {answer}",
        points=10,
    )
    return DocumentCheck(min_words=0, max_words=max(300, 4 * len(answer.split())), rubric=(criterion,))


def _answers(fields: Fields) -> list[str]:
    """The answer and other ways to say it, as SQuAD, Natural Questions and TriviaQA list them. Raises Unreadable."""
    found = _said(fields.get("answer")) or _said(fields.get("answers")) or _said(fields.get("output"))
    found += _said(fields.get("aliases"))
    if not found:
        raise Unreadable("no answer")
    return list(dict.fromkeys(found))


def _said(value: JsonValue) -> list[str]:
    match value:
        case bool():
            return ["yes" if value else "no"]
        case str() | int() | float():
            return [str(value).strip()] if str(value).strip() else []
        case list():
            return [said for item in value for said in _said(item)]
        case dict():
            return next(
                (said for key in ("value", "text", "answer") if (said := _said(value.get(key)))), []
            ) + (_said(value.get("aliases")))
        case _:
            return []
