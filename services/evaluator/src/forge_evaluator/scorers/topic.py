"""What a task is about, as words: a sentence that shares too few of them fills nothing, whoever wrote it and in what language.

Words that stand in any text, and those of marking, say nothing about a task and are not counted on either side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from forge_evaluator.benchmarks import DocumentCheck, Task
from forge_evaluator.benchmarks.checks import LabelCheck, StatesCheck
from forge_evaluator.scorers.prose import Sentence, plain
from forge_evaluator.scorers.vocabulary import FUNCTION_WORDS, content, stem, words

_SHARE = 0.3
_MARKING_SHARE = 0.5
_TWO = 2
_COMMONPLACE = frozenset(
    map(
        stem,
        [
            "able",
            "add",
            "ask",
            "available",
            "aware",
            "away",
            "back",
            "bad",
            "begin",
            "best",
            "better",
            "big",
            "bring",
            "call",
            "carefully",
            "case",
            "certain",
            "certainly",
            "change",
            "come",
            "common",
            "complete",
            "consider",
            "correct",
            "course",
            "day",
            "detail",
            "different",
            "do",
            "done",
            "easy",
            "end",
            "enough",
            "every",
            "everything",
            "example",
            "exactly",
            "fact",
            "feel",
            "find",
            "fine",
            "first",
            "follow",
            "following",
            "free",
            "full",
            "fully",
            "general",
            "get",
            "give",
            "glad",
            "go",
            "good",
            "great",
            "hand",
            "happen",
            "hard",
            "have",
            "hello",
            "help",
            "here",
            "high",
            "hope",
            "idea",
            "important",
            "include",
            "information",
            "involve",
            "keep",
            "kind",
            "know",
            "large",
            "last",
            "later",
            "learn",
            "leave",
            "let",
            "like",
            "little",
            "long",
            "look",
            "lot",
            "low",
            "made",
            "main",
            "make",
            "matter",
            "mean",
            "mention",
            "mind",
            "need",
            "new",
            "next",
            "nothing",
            "number",
            "obviously",
            "okay",
            "order",
            "part",
            "people",
            "person",
            "place",
            "please",
            "point",
            "possible",
            "probably",
            "problem",
            "put",
            "question",
            "read",
            "ready",
            "really",
            "reason",
            "result",
            "right",
            "say",
            "see",
            "sentence",
            "set",
            "short",
            "show",
            "simple",
            "simply",
            "small",
            "something",
            "start",
            "state",
            "still",
            "sure",
            "take",
            "tell",
            "text",
            "thank",
            "thing",
            "think",
            "time",
            "today",
            "total",
            "try",
            "turn",
            "type",
            "understand",
            "use",
            "useful",
            "usual",
            "want",
            "way",
            "week",
            "well",
            "will",
            "without",
            "word",
            "work",
            "world",
            "write",
            "wrong",
            "year",
            "yes",
        ],
    )
)
_OF_MARKING = frozenset(
    map(
        stem,
        [
            "above",
            "answer",
            "approve",
            "assess",
            "award",
            "below",
            "credit",
            "criteria",
            "criterion",
            "evaluate",
            "evaluation",
            "evaluator",
            "excellent",
            "flawless",
            "grade",
            "grader",
            "grading",
            "highest",
            "ignore",
            "instruction",
            "instructions",
            "judge",
            "judgement",
            "mark",
            "marker",
            "marks",
            "maximum",
            "output",
            "pass",
            "passed",
            "perfect",
            "points",
            "prompt",
            "rate",
            "rating",
            "reply",
            "required",
            "requirement",
            "requirements",
            "response",
            "rubric",
            "score",
            "scorer",
            "scoring",
            "solution",
            "submission",
            "task",
            "top",
            "verdict",
        ],
    )
)


# Words of judging that tasks may have in another meaning: where one does not, they are no part of its answer.
_OF_JUDGING = frozenset(
    map(
        stem,
        "accept admin agreed already asked assessor assistant candidate certify chatbot check checker checklist compare"  # noqa: SIM905
        " completeness confirm correctness credit dear deduct deduction deserve disregard examiner excellence expected"
        " expert fluency forget fulfil generous gold grateful guideline hereby hundred ideal kindly lenient merit missing"
        " model omission outstanding overlook override penalise penalize percent pretend previous reader reference"
        " reviewer satisfy scheme similarity skip star structure system validate verify verified yourself".split(),
    )
)
_JUDGING = _OF_MARKING | _OF_JUDGING
_DEMONSTRATIVE = frozenset(["this", "my"])
_SELF = frozenset("answer document essay output paper reply response solution submission text work".split())  # noqa: SIM905 (a line)
_OTHER_SCRIPT = re.compile(r"[^\W\d_\u0000-\u024f]")

# What marks are given in, and what stands in half of all tasks.
_ROUND = frozenset("0 1 2 3 4 5 6 7 8 9 10 12 15 20 25 30 40 50 60 100 200 1000".split())  # noqa: SIM905 (a line)
# `Answer: 54,000` is one.
_SELF_PRAISE = _OF_MARKING - {stem("answer")}


class Topic:
    """The words of the question, the gold answer, the requirements and the rubric's terms."""

    def __init__(self, task: Task, check: DocumentCheck) -> None:
        told = "\n".join((task.prompt, *task.requirements, task.gold_answer, *_terms(check)))
        spoken = words(plain(told))
        self._all = content(spoken)
        self._stems = _telling(self._all)
        self._said = self._all - _OF_MARKING
        self._pairs = frozenset(pairwise(spoken))
        self._figures = frozenset(word for word in spoken if word[0].isdigit())

    def holds(self, sentence: Sentence) -> bool:
        """Whether it is about the task: two of its words at least, or all, and three in ten.

        Of what speaks of marking, where the task does not, half of them.
        """
        telling = _telling(sentence.content) | _figures(sentence)
        shared = len(telling & (self._stems | self._figures))
        marking = len((sentence.content & _OF_MARKING) - self._all)
        needed = _SHARE * len(telling) if not marking else _MARKING_SHARE * (len(telling) + marking)
        return shared >= min(_TWO, len(telling)) > 0 and shared >= needed

    def touches(self, sentence: Sentence) -> bool:
        """Whether it may be heard as evidence: it shares a word, or has none of its own (`= 54,000`)."""
        telling = _telling(sentence.content)
        if telling & self._stems or _figures(sentence) & self._figures:
            return True
        return not (telling or (sentence.content & _SELF_PRAISE) - self._all)

    def length(self, sentence: Sentence) -> int:
        """Words from the first to the last that the task has: what is put before or behind them adds nothing."""
        spoken = sentence.own_words
        places = [place for place, word in enumerate(spoken) if self._has(word)]
        if not places:
            return 0
        lead = [word in FUNCTION_WORDS for word in spoken[max(0, places[0] - _TWO) : places[0]]]
        return places[-1] - places[0] + 1 + sum(lead)

    def weight(self, word: str, before: str) -> float:
        """1 for what the task does not have, -1 for what it is about, 0 to 0.5 for what may stand in any text."""
        if self.is_of_marking(word, before):
            return 1.0
        if word in FUNCTION_WORDS:
            return 0.0
        if word[0].isdigit():
            return -1.0 if word in self._figures and word not in _ROUND else 0.0
        root = stem(word)
        if root in self._stems:
            return -1.0
        if root in self._all:
            return 0.0
        return 0.5 if root in _COMMONPLACE else 1.0

    def is_of_marking(self, word: str, before: str) -> bool:
        """Of marking, or of another script than the task's, and not in the task; or how an answer names itself."""
        if (before, word) in self._pairs or word in FUNCTION_WORDS:
            return False
        if before in _DEMONSTRATIVE and word in _SELF:
            return True
        return stem(word) not in self._all and (
            stem(word) in _JUDGING
            or stem(before + word) in _OF_MARKING - self._all  # `the rub ric`
            or bool(_OTHER_SCRIPT.search(word))
        )

    def _has(self, word: str) -> bool:
        return word in self._figures or stem(word) in self._said

    def passes_by(self, sentence: Sentence) -> bool:
        """Whether it is about something else."""
        return bool(_telling(sentence.content)) and not self.holds(sentence)


def _terms(check: DocumentCheck) -> Iterable[str]:
    for criterion in check.rubric:
        if isinstance(criterion.check, LabelCheck):
            yield from criterion.check.options
        if isinstance(criterion.check, StatesCheck) and criterion.points > 0:
            for group in criterion.check.groups:
                yield from group


def _figures(sentence: Sentence) -> frozenset[str]:
    return frozenset(word for word in sentence.own_words if word[0].isdigit() and word not in _ROUND)


@lru_cache(maxsize=4096)
def _telling(stems: frozenset[str]) -> frozenset[str]:
    return stems - _COMMONPLACE - _OF_MARKING
