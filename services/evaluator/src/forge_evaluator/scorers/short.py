"""Short answers: the letter of a choice, a final number. Right or wrong; no partial credit, and no credit for the question."""

from __future__ import annotations

import math
import re

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import ChoiceCheck, NumberCheck, Task
from forge_evaluator.extract import strip
from forge_evaluator.scorers.exact import normalise
from forge_evaluator.scorers.score import Answered, Parts, Score

# The end decides: reasoning that is longer is not searched from its beginning.
_READ = 20_000
_MARKED = re.compile(
    r"(?i)(?:\banswer\b(?: is| would be)?|\bfinal answer\b|\bcorrect (?:option|choice|answer) is|\bchoose|\boption is)"
    r"[ \t]{0,3}[:=]?[ \t]{0,3}(?:\*\*|__|`|\\boxed\{)?[ \t]{0,3}\(?([A-Z])\)?(?![A-Za-z'’])"
)
_BOXED = re.compile(r"\\boxed\{\s{0,3}(?:\\text\{)?\(?([^{}]{1,60}?)\)?\}")
_ALONE = re.compile(r"^[\s*_`(\[]{0,4}([A-Z])(?:[\s*_`)\].:]{0,4}$|[).:]\s)")
_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|(?<![\w.])[-+−]?\.\d+"
)
_HASHES = "####"


def choice(task: Task, check: ChoiceCheck, answered: Answered) -> Score:
    text = strip(answered.text)
    letter = _repeats(task.prompt, text) or _letter(text[-_READ:], check)
    return _scored(
        letter == check.answer, f"expected {check.answer}", f"settled on {letter or 'nothing'}", answered
    )


def number(task: Task, check: NumberCheck, answered: Answered) -> Score:
    text = strip(answered.text)
    value = None if _repeats(task.prompt, text) else _number(text[-_READ:])
    is_right = value is not None and math.isclose(value, check.value, rel_tol=check.tolerance, abs_tol=1e-9)
    got = "no number" if value is None else f"got {value:g}"
    return _scored(is_right, f"expected {check.value:g}", got, answered)


def _repeats(prompt: str, text: str) -> str | None:
    """An empty letter when the answer is the question again, however often; None when it is an answer."""
    asked, said = "".join(prompt.split()), "".join(text.split())
    return "" if len(said) >= len(asked) and said and not said.replace(asked, "") else None


def _letter(text: str, check: ChoiceCheck) -> str | None:
    letters = [chr(ord("A") + n) for n in range(len(check.options))]
    marked = [letter for letter in (m.upper() for m in _MARKED.findall(text)) if letter in letters]
    boxed: list[str] = [inner for inner in _BOXED.findall(text) if inner in letters]
    if boxed or marked:
        return (boxed or marked)[-1]
    lines = [line for line in text.strip().split("\n") if line.strip()]
    alone = [found[1] for line in (*lines[:1], *lines[-1:]) if (found := _ALONE.match(line))]
    if alone and len(set(alone)) == 1 and alone[0] in letters:
        return alone[0]
    return _named(text, check, letters)


def _named(text: str, check: ChoiceCheck, letters: list[str]) -> str | None:
    """The option itself instead of its letter."""
    said = normalise(text).rstrip(".").casefold()
    fitting = [
        letter
        for letter, option in zip(letters, check.options, strict=True)
        if normalise(option).rstrip(".").casefold() == said
    ]
    return fitting[0] if len(fitting) == 1 else None


def _number(text: str) -> float | None:
    marked = text.rsplit(_HASHES, 1)[1] if _HASHES in text else None
    boxed = _BOXED.findall(text)
    where = marked if marked is not None else boxed[-1] if boxed else text
    found = _NUMBER.findall(where)
    if not found:
        return None
    # After the mark stands the answer, and perhaps a remark; without one the last number is the answer.
    return _value(found[0] if marked is not None else found[-1])


def _value(digits: str) -> float | None:
    value = float(digits.replace(",", "").replace("$", "").replace("−", "-"))
    return value if math.isfinite(value) else None


def _scored(is_right: bool, expected: str, got: str, answered: Answered) -> Score:
    broke_off = answered.finish_reason == "length"
    return Score(
        points=None,
        outcome=Outcome.PASSED if is_right else Outcome.TRUNCATED if broke_off else Outcome.WRONG,
        parts=Parts(correctness=float(is_right)),
        evidence=(expected, got),
        explanation="the answer is the expected one"
        if is_right
        else "the answer differs from the expected one",
    )
