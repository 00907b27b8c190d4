"""Scores prose: gates first, then structure, a weighted rubric, likeness to the gold answer, requirements with evidence.

Empty, refused and echoed answers, and those about something else, score nothing. An answer that meets no criterion is worth a tenth at
most, however well it is written. What needs a judge and has none is left out, and said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import Criterion, DocumentCheck, Task
from forge_evaluator.extract import strip
from forge_evaluator.scorers.asides import without_asides
from forge_evaluator.scorers.completeness import Covered, completeness
from forge_evaluator.scorers.likeness import likeness
from forge_evaluator.scorers.prose import Prompt, plain, read
from forge_evaluator.scorers.score import Answered, Parts, Score
from forge_evaluator.scorers.structure import structure
from forge_evaluator.scorers.topic import Topic
from forge_evaluator.scorers.typed import Found, Reading, decide

_NOTHING_MET = 0.1
_ECHO = 0.8
# Of other answers of the same domain a tenth of the text is on the topic, of right ones nearly all.
_ABOUT = 0.3
_REFUSAL = re.compile(
    r"\bI(?:'m| am)\s+(?:(?:very|really|so)\s+)?sorry\b|\bI\s+apologi[sz]e\b|\bas an AI\b|\bI\s+must\s+decline\b"
    r"|\bI\s+(?:can't|cannot|can not|won't|will not|am unable to|am not able to)\b|\bI'm\s+(?:unable|not able)\s+to\b",
    re.IGNORECASE,
)
_SHOWN = 240
# Thinking included, which is taken out before the limit on prose applies.
_MAX_READ = 2_000_000


class Judges(Protocol):
    """Decides the criteria that no typed check can. None: it could not."""

    def criterion(self, prompt: str, criterion: Criterion, answer: str) -> Found | None: ...


class _Once:
    """Asks its judge about a criterion once, of the whole answer."""

    def __init__(self, judge: Judges) -> None:
        self._judge = judge
        self._known: dict[str, Found | None] = {}

    def criterion(self, prompt: str, criterion: Criterion, answer: str) -> Found | None:
        if criterion.id not in self._known:
            self._known[criterion.id] = self._judge.criterion(prompt, criterion, answer)
        return self._known[criterion.id]


@dataclass(frozen=True, slots=True)
class _Decided:
    criterion: Criterion
    found: Found | None

    @property
    def gained(self) -> float:
        return self.criterion.points * self.found.share if self.found else 0.0

    @property
    def line(self) -> str:
        if self.found is None:
            return f"{self.criterion.id}: undecided, it needs a judge"
        mark = "met" if self.found.share == 1 else "half met" if self.found.share else "not met"
        quote = f': "{_short(self.found.quote)}"' if self.found.quote else ""
        why = f" ({_short(self.found.why)})" if self.found.why else ""
        return f"{self.criterion.id} [{self.criterion.points:+g}] {mark}{why}{quote}"


@dataclass(frozen=True, slots=True)
class _Marking:
    """What texts are held against for one task."""

    task: Task
    check: DocumentCheck
    prompt: Prompt
    topic: Topic | None
    gold: Reading
    judge: Judges | None

    @classmethod
    def of(cls, task: Task, check: DocumentCheck, judge: Judges | None) -> _Marking:
        prompt = Prompt(task.prompt)
        # A question alone does not have the words of its answers.
        topic = Topic(task, check) if task.gold_answer else None
        gold = Reading.of(read(plain(task.gold_answer)), prompt, topic)
        return cls(task, check, prompt, topic, gold, _Once(judge) if judge else None)

    def judged(self, text: str, answered: Answered) -> Score:
        reading = Reading.of(read(text), self.prompt, self.topic)
        if reason := _gate(reading, self.prompt):
            return _nothing(reason, answered)
        decided = [_Decided(c, _decide(self.task, c, reading, self.judge)) for c in self.check.rubric]
        if _is_refusal(text) and not any(d.gained > 0 for d in decided):
            return _nothing("the answer refuses", answered)
        shaped, flaws = structure(self.check, reading)
        covered = completeness(self.task.requirements, () if reading.is_listed else reading.heard)
        enough = _enough(self.check, reading.length)
        parts = Parts(
            structure=shaped,
            correctness=_scaled(_correctness(decided), enough),
            # What is about something else dilutes by its length, and not by the letters that it happens to share.
            similarity=likeness(reading.text, self.gold.text) * reading.share if self.gold.text else None,
            completeness=_scaled(sum(c.share for c in covered) / len(covered) if covered else None, enough),
        )
        return Score(
            points=None,
            outcome=_outcome(parts, answered),
            parts=parts if _meets_any(decided) else _capped(parts),
            evidence=tuple(_evidence(decided, covered)),
            explanation="; ".join(_explained(decided, covered, flaws)),
        )


def score(task: Task, check: DocumentCheck, answered: Answered, judge: Judges | None = None) -> Score:
    """Of the answer as it stands, and without what is about something else or speaks of marking: part by part what both earn."""
    text = plain(strip(answered.text[:_MAX_READ]))
    marking = _Marking.of(task, check, judge)
    whole = marking.judged(text, answered)
    if marking.topic is None or (bare := without_asides(text, marking.topic)) == text:
        return whole
    return _least(whole, marking.judged(bare, answered), answered)


def _least(whole: Score, bare: Score, answered: Answered) -> Score:
    """Shows what decided as it stands in the whole answer, unless that one met more."""
    is_bare = (bare.parts.correctness or 0.0) < (whole.parts.correctness or 0.0)
    told = bare if is_bare else whole
    said = f"{told.explanation}; read without what is beside the point" if is_bare else told.explanation
    earned = {name: (value, getattr(bare.parts, name)) for name, value in whole.parts.model_dump().items()}
    parts = Parts.model_validate(
        {name: None if None in both else min(both) for name, both in earned.items()},
    )
    return told.model_copy(update={"parts": parts, "outcome": _outcome(parts, answered), "explanation": said})


def _gate(reading: Reading, prompt: Prompt) -> str:
    """Why the whole answer is worth nothing; empty when it is not."""
    if not reading.document.words:
        return "the answer is empty"
    if reading.share_of(prompt) >= _ECHO:
        return "the answer repeats the prompt"
    return "" if reading.share >= _ABOUT else "the answer is about something else"


def _is_refusal(text: str) -> bool:
    return bool(_REFUSAL.search(text.strip()[:200]))


def _decide(task: Task, criterion: Criterion, reading: Reading, judge: Judges | None) -> Found | None:
    if criterion.check is not None:
        return decide(criterion.check, reading, is_held_against=criterion.points < 0)
    return judge.criterion(task.prompt, criterion, reading.document.text) if judge else None


def _correctness(decided: Sequence[_Decided]) -> float | None:
    """What was gained of what could be, deductions included; None when no positive criterion was decided."""
    reachable = sum(d.criterion.points for d in decided if d.found and d.criterion.points > 0)
    if not reachable:
        return None
    return min(1.0, max(0.0, sum(d.gained for d in decided) / reachable))


def _meets_any(decided: Sequence[_Decided]) -> bool:
    """Any positive criterion; nothing decided says nothing against it."""
    positive = [d for d in decided if d.found and d.criterion.points > 0]
    return not positive or any(d.gained > 0 for d in positive)


def _capped(parts: Parts) -> Parts:
    """Form and likeness without substance. Requirements are not met by chance words."""
    values = {name: value and min(value, _NOTHING_MET) for name, value in parts.model_dump().items()}
    return Parts.model_validate(values | {"completeness": parts.completeness and 0.0})


def _enough(check: DocumentCheck, length: int) -> float:
    """A few phrases are no short document: under half of the least length, only the share that is there counts."""
    return min(1.0, 2 * length / check.min_words) if check.min_words else 1.0


def _scaled(share: float | None, by: float) -> float | None:
    return None if share is None else share * by


def _outcome(parts: Parts, answered: Answered) -> Outcome | None:
    if parts.correctness is None:
        return None
    if parts.correctness == 1:
        return Outcome.PASSED
    return Outcome.TRUNCATED if answered.finish_reason == "length" else Outcome.WRONG


def _nothing(reason: str, answered: Answered) -> Score:
    zero = Parts(structure=0.0, correctness=0.0, similarity=0.0, completeness=0.0)
    outcome = Outcome.TRUNCATED if answered.finish_reason == "length" else Outcome.WRONG
    return Score(points=None, outcome=outcome, parts=zero, explanation=reason)


def _evidence(decided: Sequence[_Decided], covered: Sequence[Covered]) -> list[str]:
    """What went wrong first, then what was shown."""
    criteria = sorted(
        decided, key=lambda d: d.found is not None and (d.found.share == 1) == (d.criterion.points > 0)
    )
    wanting = [f"requirement not shown: {_short(c.requirement)}" for c in covered if c.share < 1]
    shown = [
        f'requirement shown: {_short(c.requirement)}: "{_short(c.quote)}"' for c in covered if c.share == 1
    ]
    return [d.line for d in criteria] + wanting + shown


def _explained(decided: Sequence[_Decided], covered: Sequence[Covered], flaws: Sequence[str]) -> list[str]:
    known = [d for d in decided if d.found]
    good = [d for d in known if d.criterion.points > 0]
    met = sum(d.found.share == 1 for d in good if d.found)
    said = [f"{met} of {len(good)} criteria met"]
    said += [f"deducted: {d.criterion.id}" for d in known if d.gained < 0]
    if undecided := len(decided) - len(known):
        said.append(
            f"{undecided} {'criterion needs' if undecided == 1 else 'criteria need'} a judge and {'was' if undecided == 1 else 'were'} left out"
        )
    if covered:
        said.append(f"{sum(c.share == 1 for c in covered)} of {len(covered)} requirements shown")
    return said + list(flaws)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
