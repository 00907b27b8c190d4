"""How alike two documents are: ROUGE-L and chrF, times a guard for prose. Sees no negation, and proves nothing alone.

Unrelated prose of one language scores about 25, so that is zero here. Bags of words and repetitions of the question, which
token-set ratios and embeddings reward, are held down by the order that ROUGE-L asks for and by the guard.
"""

from __future__ import annotations

from collections import Counter

from forge_evaluator.scorers.vocabulary import function_share, words

_FLOOR = 0.25
_PROSE_SHARE = 0.22
_MAX_CHARS = 20_000
_MAX_WORDS = 4_000
_GRAMS, _BETA = 6, 2.0


def likeness(answer: str, gold: str) -> float:
    """Share of 1. Of texts longer than the limits only the beginning is compared, and what is not counts as unlike."""
    ours, theirs = words(answer), words(gold)
    if not ours or not theirs:
        return 0.0
    guard = min(1.0, function_share(ours) / _PROSE_SHARE)
    mix = (rouge_l(ours[:_MAX_WORDS], theirs[:_MAX_WORDS]) + chrf(answer[:_MAX_CHARS], gold[:_MAX_CHARS])) / 2
    read = min(1.0, max(_MAX_CHARS, len(gold)) / len(answer))
    return max(0.0, (mix * guard * read - _FLOOR) / (1 - _FLOOR))


def rouge_l(ours: list[str], theirs: list[str]) -> float:
    """F1 of the longest common subsequence of words."""
    common = _common(ours, theirs)
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def _common(ours: list[str], theirs: list[str]) -> int:
    """Its length, a row of the table at a time, each row the bits of one integer."""
    places: dict[str, int] = {}
    for position, word in enumerate(theirs):
        places[word] = places.get(word, 0) | 1 << position
    mask = (1 << len(theirs)) - 1
    row = mask
    for word in ours:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & mask
    return len(theirs) - row.bit_count()


def chrf(answer: str, gold: str) -> float:
    """Mean F2 over runs of one to six characters, spaces left out."""
    ours, theirs = "".join(answer.split()), "".join(gold.split())
    scores = [_f_beta(ours, theirs, size) for size in range(1, _GRAMS + 1) if len(theirs) >= size]
    return sum(scores) / len(scores) if scores else 0.0


def _f_beta(ours: str, theirs: str, size: int) -> float:
    left = Counter(ours[i : i + size] for i in range(len(ours) - size + 1))
    right = Counter(theirs[i : i + size] for i in range(len(theirs) - size + 1))
    shared = (left & right).total()
    if not shared:
        return 0.0
    precision, recall = shared / left.total(), shared / right.total()
    return (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)
