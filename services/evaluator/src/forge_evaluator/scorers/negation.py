"""Whether a sentence affirms or denies what stands in it, by clauses and a list of words. A heuristic, and meant to be.

No measure of likeness sees a `not`; this does. `may not … without notice` is an affirmation: two denials in one clause
cancel. A condition (`if the breach is not mended, damages are due`) leaves the main clause as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from forge_evaluator.scorers.vocabulary import words

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*|[^\W_]+|[,;:()\[\]—–]|\s-\s")

_CUES = frozenset(
    [
        "not",
        "cannot",
        "never",
        "no",
        "none",
        "neither",
        "nobody",
        "nothing",
        "nowhere",
        "without",
        "hardly",
        "scarcely",
        "false",
        "untrue",
        "incorrect",
        "myth",
    ]
)
# Count only after a denial: `may not … unless`.
_REVERSERS = frozenset(["unless", "except"])
_FALSE_ALARMS = {
    "not": frozenset(["only", "just", "merely", "simply", "least", "later", "more", "less", "fewer"]),
    "no": frozenset(["later", "more", "less", "fewer", "sooner", "doubt", "matter"]),
}
_HARD = frozenset(
    [
        "but",
        "although",
        "though",
        "whereas",
        "while",
        "because",
        "since",
        "however",
        "if",
        "when",
        "which",
        "who",
        "whose",
        "whom",
        "where",
        "so",
        "therefore",
        "thus",
        "yet",
        "once",
        "provided",
        "despite",
    ]
)
_SUBORDINATE = frozenset(
    [
        "if",
        "when",
        "although",
        "though",
        "because",
        "since",
        "while",
        "whereas",
        "where",
        "once",
        "provided",
        "unless",
        "despite",
        "which",
        "who",
        "whose",
        "whom",
        "after",
        "before",
        "until",
    ]
)
_SOFT = frozenset(["and", "or", "then"])
_VERBS = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "am",
        "has",
        "have",
        "had",
        "do",
        "does",
        "did",
        "can",
        "could",
        "may",
        "might",
        "must",
        "shall",
        "should",
        "will",
        "would",
        "cannot",
        "ought",
        "need",
        "it's",
    ]
)
_SUBJECTS = _VERBS | frozenset(["it", "they", "he", "she", "we", "you", "i", "this", "there"])
_DISOWNED = re.compile(
    r"[\s*_>\"'-]{0,8}(?:it is|it's|it would be)\s+(?:not (?:true|correct|right|the case|so)|untrue|false|wrong|incorrect"
    r"|a myth|a mistake)\s+(?:that|to (?:say|think|claim|assume) that)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Clause:
    """`words[start:end]` of a sentence, and where in it denials stand; `narrow` ones deny only what follows them."""

    start: int
    end: int
    is_main: bool
    wide: tuple[int, ...]
    narrow: tuple[int, ...]

    def within(self, group: Collection[int]) -> list[int]:
        return [position for position in group if self.start <= position < self.end]

    def denies(self, groups: Sequence[Collection[int]]) -> bool:
        """Two denials cancel. `X, not Y` denies a statement only if some part of it stands after the `not`."""
        present = [inside for group in groups if (inside := self.within(group))]
        narrow = sum(any(min(inside) > cue for inside in present) for cue in self.narrow)
        return (len(self.wide) + narrow) % 2 == 1


def polarities(text: str, groups: Sequence[Collection[int]], covered: Collection[int]) -> set[bool]:
    """True: denied, False: affirmed, for the statement whose parts stand at the word positions `groups`.

    Positions are those of `prose.words(text)`. Denials at the positions `covered` belong to the terms themselves.
    """
    if found := _DISOWNED.match(text):
        prefix = len(words(found.group()))
        return {not is_denied for is_denied in _polarities(text, groups, {*covered, *range(prefix)})}
    return _polarities(text, groups, covered)


def disowns(text: str) -> bool:
    """Whether all that the sentence says is called untrue at its beginning."""
    return bool(_DISOWNED.match(text))


def _polarities(text: str, groups: Sequence[Collection[int]], covered: Collection[int]) -> set[bool]:
    clauses = list(_clauses(text, covered))
    full = [clause for clause in clauses if all(clause.within(group) for group in groups)]
    if full:
        return {clause.denies(groups) for clause in full}
    touched = [clause for clause in clauses if any(clause.within(group) for group in groups)]
    main = [clause for clause in touched if clause.is_main] or touched
    return {any(clause.denies(groups) for clause in main)}


def is_denial(text: str) -> bool:
    """Whether the main clauses of `text`, taken together, deny."""
    return any(len(clause.wide + clause.narrow) % 2 for clause in _clauses(text, ()) if clause.is_main)


def denies_before(text: str) -> bool:
    """Whether `text`, which ends where a figure or a date begins, denies it: `is not`, `rather than about`."""
    last = words(text)[-5:]
    while last and last[-1] in {
        "the",
        "a",
        "an",
        "about",
        "equal",
        "to",
        "be",
        "at",
        "on",
        "just",
        "exactly",
        "by",
    }:
        last.pop()
    return bool(last) and (_is_not(last[-1]) or last[-2:] in (["rather", "than"], ["instead", "of"]))


def _clauses(text: str, covered: Collection[int]) -> Iterator[_Clause]:
    found, gaps = _words_and_gaps(text)
    starts = [0, *_boundaries(found, gaps), len(found)]
    for start, end in pairwise(starts):
        if start < end:
            cues = [p for p in _denials(found, gaps, start, end) if p not in covered]
            narrow = tuple(position for position in cues if _is_narrow(found, position))
            wide = tuple(position for position in cues if position not in narrow)
            yield _Clause(start, end, found[start] not in _SUBORDINATE, wide, narrow)


def _words_and_gaps(text: str) -> tuple[list[str], list[str]]:
    """The words, and the punctuation before each."""
    found: list[str] = []
    gaps: list[str] = []
    gap = ""
    for token in _TOKEN.findall(text.casefold()):
        if token[0].isalnum():
            found.append(token.removesuffix("'s"))
            gaps.append(gap)
            gap = ""
        else:
            gap += token
    return found, gaps


def _boundaries(found: Sequence[str], gaps: Sequence[str]) -> Iterator[int]:
    is_main = not found or found[0] not in _SUBORDINATE
    for position in range(1, len(found)):
        gap, word = gaps[position], found[position]
        is_hard = word in _HARD or bool(gap.strip(" ,"))
        is_soft = word in _SOFT or "," in gap
        if is_hard or (is_soft and _starts_a_clause(found, gaps, position, after_main=is_main)):
            is_main = word not in _SUBORDINATE
            yield position


def _starts_a_clause(found: Sequence[str], gaps: Sequence[str], position: int, *, after_main: bool) -> bool:
    """A part with a verb or a subject of its own; `title, quality or fitness` is none."""
    end = position + 1
    while end < min(len(found), position + 30) and not gaps[end] and found[end] not in _HARD | _SOFT:
        end += 1
    part = found[position:end]
    if not after_main and "," in gaps[position] and len(part) >= 3:
        return True
    return any(word in _SUBJECTS or word.endswith("n't") for word in part)


def _denials(found: Sequence[str], gaps: Sequence[str], start: int, end: int) -> list[int]:
    cues: list[int] = []
    for position in range(start, end):
        word = found[position]
        if word == "nor":
            if not cues:
                cues.append(position)
        elif word in _REVERSERS:
            if cues:
                cues.append(position)
        elif _is_cue(found, gaps, position):
            cues.append(position)
    return cues


def _is_narrow(found: Sequence[str], position: int) -> bool:
    """`without notice`, `rather than damages`, and what no auxiliary carries: `damages, not interest`; `bears no name`."""
    word = found[position]
    if word in {"not", "no"}:
        return position > 0 and found[position - 1] not in _VERBS
    return word in {"without", "than", "of", "to"}


def _is_cue(found: Sequence[str], gaps: Sequence[str], position: int) -> bool:
    word = found[position]
    following = found[position + 1] if position + 1 < len(found) else ""
    before = found[position - 1] if position else ""
    if word in _FALSE_ALARMS and following in _FALSE_ALARMS[word]:
        return False
    if word == "no" and (following[:1].isdigit() or (position + 1 < len(gaps) and "," in gaps[position + 1])):
        return False
    if word == "not" and before == "or" and position > 1 and found[position - 2] == "whether":
        return False
    if word in {"than", "of"}:
        return (before, word) in {("rather", "than"), ("instead", "of")}
    if word == "to":
        return before in {"fail", "fails", "failed", "failing", "refuses", "refused"}
    return _is_not(word)


def _is_not(word: str) -> bool:
    return word in _CUES or word.endswith("n't")
